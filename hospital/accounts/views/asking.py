"""How a page asks for a second factor: one box for a code, one button for a security key."""

from typing import Any

from django import forms
from django.http import HttpRequest
from django.template.response import TemplateResponse

from hospital.accounts import mfa, security_keys
from hospital.accounts.models import Staff
from hospital.accounts.views.around import around

CODE = {
    "autocomplete": "one-time-code",
    "autofocus": True,
    "inputmode": "numeric",
    "spellcheck": "false",
}
NOTHING = "没有收到安全密钥的答复，请重试"


class Unshown(forms.PasswordInput):
    """A hidden field whose value no page gives back."""

    input_type = "hidden"


class Credential(forms.CharField):
    """What a browser's script sent for a security key; None if nothing."""

    widget = Unshown

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs, error_messages={"required": NOTHING})

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return security_keys.read(text)
        except ValueError:
            raise forms.ValidationError(NOTHING) from None


class Answer(forms.Form):
    code = forms.CharField(
        label="验证码", max_length=32, required=False, widget=forms.TextInput(attrs=CODE)
    )
    credential = Credential(required=False)


def page(
    request: HttpRequest, template: str, person: Staff, *, form: forms.Form, **context: Any
) -> TemplateResponse:
    """Return a page that asks `person` for what they have."""
    kinds = {mfa.name_of(factor) for factor in mfa.factors_of(person)}
    asked = {
        "has_phone": mfa.TOTP in kinds,
        "has_key": mfa.KEY in kinds,
        "options": mfa.key_to_prove(person) if mfa.KEY in kinds else "",
        "form": form,
    }
    return TemplateResponse(request, template, {**around(request), **asked, **context})
