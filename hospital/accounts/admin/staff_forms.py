"""What is typed about an account, and how far it may go."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from hospital import policy
from hospital.accounts import campuses, granting, naming, succession
from hospital.accounts.models import Staff
from hospital.errors import Refusal
from hospital.labels import Label
from hospital.roles import GRANTS, SEALED

_TO_THE_MINUTE = "%Y-%m-%dT%H:%M"


class Account(forms.ModelForm[Staff]):
    """Who somebody is. No role: that takes two others."""

    valid_until = forms.DateTimeField(
        label="有效期至",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=_TO_THE_MINUTE),
        help_text="到期自动停用；厂商人员必填",
    )

    class Meta:
        model = Staff
        fields = ("username", "display_name", "person_id", "is_vendor", "valid_until", "is_active")
        help_texts: ClassVar = {
            "is_active": "停用后立即退出登录。"
            "重新启用后，原来的角色、院区和安全标记都会收回，须重新申请授予"
        }

    def clean_username(self) -> str:
        username: str = self.cleaned_data["username"]
        with _told():
            naming.demand_own_name(username)
            others = Staff.objects.exclude(pk=self.instance.pk)
            if others.filter(username__iexact=username).exists():
                raise naming.SamePerson
        return username

    def clean_person_id(self) -> str:
        number = naming.person_number(self.cleaned_data["person_id"])
        with _told():
            naming.demand_no_account(number, but=self.instance)
        return number

    def clean_is_active(self) -> bool:
        is_active: bool = self.cleaned_data["is_active"]
        if self.instance.is_active and not is_active:
            with _told():
                succession.demand_another(self.instance)
        return is_active

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        until: datetime | None = given.get("valid_until")
        if "valid_until" in self.changed_data and until is not None:
            self._demand_ahead(until)
            self._demand_another()
        is_vendor = given.get("is_vendor", self.instance.is_vendor)
        if is_vendor and "valid_until" not in self.errors:
            self._demand_soon(until)
        return given

    def _demand_ahead(self, until: datetime) -> None:
        if until <= timezone.now():
            self.add_error("valid_until", "有效期须晚于现在")

    def _demand_another(self) -> None:
        """An end is a stop that comes by itself."""
        try:
            succession.demand_another(self.instance)
        except succession.LastOne as exc:
            self.add_error("valid_until", exc.message)

    def _demand_soon(self, until: datetime | None) -> None:
        days = policy.value("VENDOR_DAYS")
        if until is None:
            self.add_error("valid_until", "厂商人员须填写有效期")
        elif until > timezone.now() + timedelta(days=days):
            self.add_error("valid_until", f"厂商人员的有效期最长 {days} 天")


class Grant(forms.Form):
    """Which role, and what it reaches."""

    role = forms.ChoiceField(
        label="角色",
        choices=[("", "请选择")] + [(r.value, r.label) for r in GRANTS if r not in SEALED],
    )
    campus = forms.ChoiceField(
        label="院区", required=False, help_text="只有登记员须选：只能看到该院区的患者"
    )
    clearance = forms.TypedChoiceField(
        label="安全标记",
        coerce=int,
        choices=Label.choices,
        help_text="内部：不接触患者信息；敏感：可看脱敏信息；直接标识：可查看明文",
    )
    note = forms.CharField(
        label="理由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；写进留痕",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["campus"].choices = [("", "不指定"), *campuses.choices()]  # type: ignore[attr-defined]

    @property
    def facts(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in granting.GIVEN}


class Reason(forms.Form):
    note = forms.CharField(
        label="理由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；写明如何核实了本人身份",
    )


@contextmanager
def _told() -> Iterator[None]:
    """Say at the field why a verb refused."""
    try:
        yield
    except Refusal as exc:
        raise ValidationError(exc.message) from None
