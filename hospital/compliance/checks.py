"""The inventory and the tables agree, and no table holds a face (`manage.py check`)."""

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import models

from hospital.categories import BY_KEY
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import blind_indexes
from hospital.impersonal import IMPERSONAL
from hospital.inventory import IMPERSONAL_CATEGORIES, INVENTORY, WITHOUT_RULE

# What may hold anything, and so a person's data as well.
_ANYTHING: Final = (
    models.BinaryField,
    models.EmailField,
    models.GenericIPAddressField,
    models.JSONField,
    models.TextField,
    SealedField,
)
# A part of a name that says whose it is, or that somebody may write there what they like.
# fmt: off
_TELLING: Final = frozenset({
    "name", "username", "person", "guardian", "birth", "birthday", "gender", "ethnicity",
    "document", "phone", "mobile", "address", "email", "ip", "openid", "union", "password",
    "note", "reason", "summary", "conclusion", "remark", "comment", "reference", "ticket",
})
# fmt: on
_OF_FACES: Final = frozenset(
    ("image", "photo", "picture", "portrait", "biometric", "feature", "embedding", "faceprint")
)
_TEXTS: Final = (models.CharField, models.DateField)


@register(Tags.models)
def inventory_is_whole(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error for each column that looks personal and is not said to be or not to be."""
    known = {item.field for item in INVENTORY} | IMPERSONAL.keys()
    hint = "写入 hospital/inventory.py；确实不是个人信息的，连同理由写入 hospital/impersonal.py"
    return [
        Error(f"{name} 像是个人信息，没有登记", hint=hint, id="compliance.E001")
        for name, field in columns()
        if name not in known and looks_personal(field)
    ]


@register(Tags.models)
def inventory_is_of_what_is_there(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error for each entry of a column that is not there, or that is there twice."""
    there = {name for name, _field in columns()}
    listed = [item.field for item in INVENTORY] + list(IMPERSONAL)
    gone = [name for name in listed if name not in there]
    twice = sorted({name for name in listed if listed.count(name) > 1})
    return [
        *(Error(f"{name} 已登记，但没有这一列", id="compliance.E002") for name in gone),
        *(Error(f"{name} 登记了不止一次", id="compliance.E002") for name in twice),
    ]


@register(Tags.models)
def terms_are_known_and_used(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error for each term nobody defined, and each category nothing is kept under."""
    used = {term for item in INVENTORY for term in item.terms}
    unknown = sorted(used - BY_KEY.keys() - WITHOUT_RULE.keys())
    unused = sorted(BY_KEY.keys() - used - IMPERSONAL_CATEGORIES.keys())
    return [
        *(Error(f"没有保存期限类别 {one}", id="compliance.E003") for one in unknown),
        *(Error(f"没有字段属于保存期限类别 {one}", id="compliance.E003") for one in unused),
    ]


@register(Tags.models)
def no_table_holds_a_face(**_kwargs: Any) -> list[CheckMessage]:
    """
    Return an error for each column that could hold a picture or a template of a face.

    人脸识别技术应用安全管理办法 第八条: we receive none and keep none.
    """
    return [
        Error(f"{name} 可以存放图像或生物特征", hint="本系统不接收、不保存", id="compliance.E004")
        for name, field in columns()
        if isinstance(field, models.FileField) or not _OF_FACES.isdisjoint(field.name.split("_"))
    ]


def columns() -> Iterator[tuple[str, "models.Field[Any, Any]"]]:
    """Yield every column of every table, as the inventory names it."""
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_concrete_fields:
            yield f"{model._meta.label_lower}.{field.name}", field


def looks_personal(field: "models.Field[Any, Any]") -> bool:
    """Whether it may hold a person's data, as far as its kind and its name tell."""
    if field.is_relation or field.choices or isinstance(field, models.GeneratedField):
        return False
    if isinstance(field, _ANYTHING) or field.name in _slots(field.model):
        return True
    is_moment = isinstance(field, models.DateTimeField)  # which is a date as well
    told = _TELLING.intersection(field.name.split("_"))
    return bool(told) and isinstance(field, _TEXTS) and not is_moment


def _slots(model: type[models.Model]) -> set[str]:
    return {column for index in blind_indexes(model) for column in index.columns}
