"""Form fields that take a key and never give one back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from faceauth import pem


@dataclass(frozen=True)
class Given:
    """What came in for one field: pasted or chosen, perhaps with a password; or its removal."""

    text: str = field(repr=False)
    upload: UploadedFile[Any] | None = field(repr=False)
    password: str = field(repr=False)
    removed: bool

    def __bool__(self) -> bool:
        return bool(self.text.strip() or self.upload or self.removed)


class Removed:
    """What a field is cleaned to when the kept value is to go."""


class KeyInput(forms.Widget):
    """Shows no value: not the kept one, and after an error not the one just typed."""

    needs_multipart_form = True
    template = "admin/faceauth/merchant/_key.html"

    def __init__(self, *, is_text: bool, has_password: bool) -> None:
        super().__init__()
        self.is_text, self.has_password = is_text, has_password
        self.is_kept = False

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Given:
        return Given(
            text=data.get(name, ""),
            upload=files.get(f"{name}-upload"),
            password=data.get(f"{name}-password", ""),
            removed=f"{name}-removed" in data,
        )

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False

    def render(
        self, name: str, value: object, attrs: Any = None, renderer: object = None
    ) -> SafeString:
        asked = {"is_text": self.is_text, "has_password": self.has_password}
        shown = {"name": name, "attrs": attrs or {}, "is_kept": self.is_kept, **asked}
        return render_to_string(self.template, shown)


class KeyField(forms.Field):
    """
    One key or certificate, cleaned to what `read` makes of it; None changes nothing.

    :raises ValidationError: it is not what was asked for
    """

    def __init__(
        self,
        label: str,
        read: Callable[..., object],
        *,
        is_text: bool = False,
        has_password: bool = False,
    ) -> None:
        self.read = read
        self.has_password = has_password
        widget = KeyInput(is_text=is_text, has_password=has_password)
        super().__init__(label=label, required=False, widget=widget)

    def clean(self, value: Given) -> Any:
        if not value:
            return None
        if bool(value.text.strip()) + bool(value.upload) + value.removed > 1:
            raise ValidationError("粘贴、选择文件、清除，只用一种")
        if value.removed:
            return Removed()
        content = value.upload.read() if value.upload else value.text.encode()
        password = {"password": value.password} if self.has_password else {}
        try:
            return self.read(content, **password)
        except pem.Unfit as exc:
            raise ValidationError(str(exc)) from None

    def has_changed(self, initial: object, data: object) -> bool:
        return bool(data)
