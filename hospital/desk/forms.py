"""What is typed at the desk about a person: the same boxes for registering and for correcting."""

from datetime import date
from typing import Any, Final
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from uuid6 import uuid7

from hospital.crypto.normalising import person_name
from hospital.patients import documents, plausible, registering
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import Identification, Registration

Cause = Registration.Cause
Evidence = Identification.Evidence

CHECK: Final = "X-Desk-Check"  # sent by templates/assets/registering.js

_TYPES: Final = [(one.value, one.label) for one in DocumentType if one != DocumentType.BUSINESS]
# As people write dates, and as card readers do.
_DATES: Final = ["%Y-%m-%d", "%Y%m%d", "%Y.%m.%d", "%Y/%m/%d", "%Y年%m月%d日"]
NO_DATE: Final = "日期不存在或格式不对，如 1990-05-06"
_QUIET: Final = {"autocomplete": "off", "spellcheck": "false"}  # a browser remembers nobody


class PersonForm(forms.Form):
    """
    Name, document and birth date, and by which evidence.

    What stops is an error of its box; what is only odd is among `doubts`.
    """

    kind = forms.TypedChoiceField(
        label="证件类型", choices=_TYPES, coerce=int, initial=DocumentType.RESIDENT
    )
    number = forms.CharField(
        label="证件号码",
        required=False,
        max_length=200,
        help_text="可直接刷读卡器；空格和大小写不影响",
        widget=forms.TextInput(attrs={**_QUIET, "autocapitalize": "characters"}),
    )
    name = forms.CharField(
        label="姓名", required=False, max_length=200, widget=forms.TextInput(attrs=_QUIET)
    )
    born = forms.DateField(
        label="出生日期",
        required=False,
        input_formats=_DATES,
        help_text="号码里有出生日期的不用填；如 1990-05-06",
        error_messages={"invalid": NO_DATE},
        widget=forms.DateInput(format=_DATES[0], attrs={**_QUIET, "inputmode": "numeric"}),
    )
    evidence = forms.ChoiceField(label="依据", choices=Evidence.choices, initial=Evidence.ORIGINAL)

    def __init__(self, *args: Any, today: date, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        self.today = today
        self.doubts: list[plausible.Finding] = []
        self.person: Person | None = None
        if not self.is_bound:
            self.fields["number"].widget.attrs["autofocus"] = True

    @property
    def is_dated(self) -> bool:
        """Whether the number says when they were born."""
        return bool(
            self.person
            and documents.birth_date(self.person.document_type, self.person.document_number)
        )

    @property
    def suitable(self) -> frozenset[Evidence]:
        """Which evidence there is of such a document."""
        return registering.SUITABLE.get(self.cleaned_data.get("kind", 0), frozenset())

    def checked(self) -> dict[str, Any]:
        """Return what is to be said of what is typed so far; whether anybody is known is not."""
        person = self.person
        return {
            "errors": {name: errors[0] for name, errors in self.errors.items()},
            "doubts": [{"about": one.about, "message": one.message} for one in self.doubts],
            "number": person.document_number if person else "",
            "name": person.real_name if person else "",
            "born": person.born.isoformat() if person and person.born else "",
            "dated": self.is_dated,
            "evidence": sorted(self.suitable),
        }

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = self.cleaned_data
        kind = given.get("kind")
        if kind is None:
            return given
        number, name = given.get("number", ""), given.get("name", "")
        if kind not in documents.WORDED:
            number, read = documents.scanned(number)
            if name and read and not _is_one_name(name, read):
                # Somebody else's card over the last one's name: which of them, a person says.
                self.add_error("number", "读卡器读出的姓名与姓名栏不同，请清空姓名栏再刷")
            name = name or read
        self.person = Person(
            real_name=plausible.clean_name(name),
            document_type=kind,
            document_number=documents.canonical_number(kind, number),
            birth_date=given.get("born"),
        )
        for found in registering.judge(self.person, today=self.today):
            if not found.stops:
                self.doubts.append(found)
            elif not self.has_error(found.about):
                self.add_error(found.about, ValidationError(found.message, code=found.code))
        if given.get("evidence") and given["evidence"] not in self.suitable:
            self.add_error("evidence", str(registering.Unsuited()))
        return given


class RegisterForm(PersonForm):
    """人工建档."""

    token = forms.UUIDField(widget=forms.HiddenInput, initial=uuid7)
    session = forms.UUIDField(required=False, widget=forms.HiddenInput)
    cause = forms.ChoiceField(label="原因", choices=[("", "请选择"), *Cause.choices])
    guardian = forms.BooleanField(
        label="监护人在场，已出示证件并同意建档",
        required=False,
        help_text="患者不满十四周岁时必须",
    )
    field_order = ("cause", "kind", "number", "name", "born", "evidence", "guardian")

    @property
    def needs_guardian(self) -> bool:
        cause = self.cleaned_data.get("cause") or Cause.UNABLE
        return self.person is not None and registering.needs_guardian(
            self.person, Cause(cause), today=self.today
        )

    def checked(self) -> dict[str, Any]:
        return {**super().checked(), "guardian": self.needs_guardian}

    def clean_token(self) -> UUID:
        token: UUID = self.cleaned_data["token"]
        if token.version != uuid7().version:  # others do not sort by time
            raise ValidationError(str(registering.Used()))
        return token

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        if self.person and given.get("cause"):
            against = registering.judge_cause(self.person, Cause(given["cause"]), today=self.today)
            for found in against:
                self.add_error(found.about, ValidationError(found.message, code=found.code))
        if self.needs_guardian and not given.get("guardian"):
            self.add_error("guardian", str(registering.GuardianNeeded()))
        return given

    @property
    def entry(self) -> registering.Entry:
        assert self.person is not None  # noqa: S101 (it was valid)
        given = self.cleaned_data
        return registering.Entry(
            token=given["token"],
            person=self.person,
            cause=Cause(given["cause"]),
            evidence=Evidence(given["evidence"]),
            guardian_agrees=given["guardian"],
        )


class CorrectForm(PersonForm):
    """更正: the person as they are to be, whole, and why."""

    reason = forms.CharField(
        label="理由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="必填，200 字以内；写进留痕，请勿写姓名或证件号码",
    )
    field_order = ("kind", "number", "name", "born", "evidence", "reason")


class SecondLookForm(forms.Form):
    """复核: what a colleague reads off the original once more."""

    again = forms.CharField(required=False, max_length=200)
    born = forms.DateField(
        required=False, input_formats=_DATES, error_messages={"invalid": NO_DATE}
    )


class SendBackForm(forms.Form):
    """退回: why."""

    note = forms.CharField(
        max_length=200,
        error_messages={
            "required": str(registering.NoNote()),
            "max_length": "退回原因不能超过 200 字",
        },
    )


def first_error(form: forms.Form) -> str:
    """Return what is wrong with a form whose boxes have no place for it."""
    return str(next(iter(form.errors.values()))[0])


def _is_one_name(one: str, other: str) -> bool:
    cleaned = {person_name(plausible.clean_name(name)) for name in (one, other)}
    return len(cleaned) == 1
