"""What is typed about an incident. No names: its report goes out of the house."""

from typing import Any, Final

from django import forms
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

from hospital.accounts.models import Staff
from hospital.privacy.incidents.hands import Question
from hospital.privacy.models import Incident

_TO_THE_MINUTE: Final = "%Y-%m-%dT%H:%M"
_NO_NAMES: Final = "200 字以内；不要写患者或工作人员的姓名、证件号码"

# A telephone's digits or a document's; fewer are a date, or how many people it is about.
_NO_NUMBER: Final = RegexValidator(
    r"\d{11}", "看起来有证件号码或手机号码，请改用编号", inverse_match=True
)


def _moment(label: str, *, required: bool = True, help_text: str = "") -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_TO_THE_MINUTE)
    return forms.DateTimeField(label=label, required=required, widget=widget, help_text=help_text)


def _text(label: str, *, help_text: str = _NO_NAMES) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": 3})
    return forms.CharField(
        label=label, max_length=200, widget=widget, help_text=help_text, validators=[_NO_NUMBER]
    )


class Opening(forms.Form):
    kind = forms.ChoiceField(label="类型", choices=Incident.Kind.choices)
    found_at = _moment("发现时间", help_text="各项报告时限从这一刻起算")
    since = _moment("何时开始", required=False, help_text="不清楚可以不填")
    until = _moment("何时结束", required=False, help_text="仍在继续或不清楚可以不填")
    summary = _text("情况")
    is_drill = forms.BooleanField(
        label="这是演练", required=False, help_text="演练的页面、文书和提醒都标明“演练”，不计入统计"
    )


class Classifying(forms.Form):
    level = forms.ChoiceField(
        label="级别", choices=Incident.Level.choices, widget=forms.RadioSelect
    )
    measures = _text("已采取的措施", help_text=f"写进报告和告知；{_NO_NAMES}")


class Telling(forms.Form):
    reference = forms.CharField(label="回执编号或接听人工号", max_length=64, required=False)


class Closing(forms.Form):
    conclusion = _text("结论", help_text=f"原因、影响、整改；{_NO_NAMES}")


class Asking(forms.Form):
    """Whose acts within which window."""

    since = _moment("从")
    until = _moment("到（不含）")
    actor_type = forms.ChoiceField(
        label="谁的操作",
        required=False,
        choices=[("", "所有人和终端"), ("staff", "某位工作人员"), ("terminal", "某台终端")],
    )
    actor = forms.CharField(
        label="工号或终端序列号", required=False, max_length=64, help_text="选“所有人和终端”时不填"
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        kind, number = given.get("actor_type", ""), given.get("actor", "")
        given["actor"] = _actor(kind, number) if kind else ""
        if kind and not given["actor"]:
            self.add_error("actor", ValidationError("没有这个工号或序列号"))
        return given

    @property
    def question(self) -> Question:
        return Question(**self.cleaned_data)


def _actor(kind: str, number: str) -> str:
    """Return the id of whoever has this number; empty if it is nobody's."""
    # Terminals live a floor above; an edge may ask for one by its name.
    model: Any = Staff if kind == "staff" else apps.get_model("devices", "Terminal")
    known = {"username": number} if kind == "staff" else {"serial": number}
    found = model.objects.filter(**known).values_list("pk", flat=True).first()
    return str(found) if found else ""
