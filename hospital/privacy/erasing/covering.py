"""No table is forgotten: what names a patient, or is sealed, is a place or says why it is none."""

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error, register
from django.db import models

from hospital.crypto.records import sealed_fields
from hospital.patients.models import Patient
from hospital.privacy import subjects

_OURS: Final = ("hospital.", "devices", "faceauth")  # whose tables have to say so
_NAMES: Final = frozenset({"patient", "subject"})  # of columns with a patient's id and no key


@register()
def every_table_is_a_place(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error for each table an erasure would pass by, and for what is no table."""
    known = {place.name for place in subjects.places()} | subjects.exempted().keys()
    about = {model._meta.label_lower for model in _about_patients()}
    found: list[CheckMessage] = [
        Error(
            f"{name} 含有患者信息，删除个人信息时没有登记",
            hint="在该模块的 places.py 登记为 Place，或用 subjects.exempt 说明理由",
            id="privacy.E001",
        )
        for name in sorted(about - known)
    ]
    tables = {model._meta.label_lower for model in apps.get_models(include_auto_created=True)}
    found += [
        Error(f"删除个人信息登记的 {name} 不存在", id="privacy.E002")
        for name in sorted(known - tables)
    ]
    return found


def _about_patients() -> Iterator[type[models.Model]]:
    for model in apps.get_models(include_auto_created=True):
        if model.__module__.startswith(_OURS) and (
            sealed_fields(model) or any(map(_names_one, model._meta.local_concrete_fields))
        ):
            yield model


def _names_one(field: "models.Field[Any, Any]") -> bool:
    if isinstance(field, models.ForeignKey):
        return field.related_model is Patient
    return isinstance(field, models.UUIDField) and field.name in _NAMES
