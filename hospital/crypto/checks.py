"""What must hold between all sealed fields of the project, and of its settings."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.admin.sites import all_sites
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import Q

from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import BlindIndex
from hospital.crypto.records import sealed_fields
from hospital.crypto.suites import Suite

LOCK: Final = Path(__file__).with_name("contexts.lock")
_PROBE: Final = "\ue000\ue001\ue002"  # characters nobody's name has


@register(Tags.models)
def contexts_are_unique(**_: Any) -> list[CheckMessage]:
    """Two columns under one label could swap their values unnoticed."""
    users: defaultdict[str, list[SealedField]] = defaultdict(list)
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_fields:
            if isinstance(field, SealedField):
                users[field.context].append(field)
    return [
        Error(f"context {context!r} 用于多个封存字段", obj=field, id="crypto.E005")
        for context, fields in users.items()
        for field in fields[1:]
    ]


@register(Tags.models)
def contexts_are_locked(**_: Any) -> list[CheckMessage]:
    """What is sealed under a label opens under no other, so a label once used is never changed."""
    lines = [line.split() for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    contexts = {field: context for context, field in lines}
    return [
        Error(
            f"封存字段 {name} 的 context 与 contexts.lock 不符",
            hint=f"新字段：在 {LOCK.name} 末尾加一行“{field.context} {name}”；"
            "字段改名：只改该行的字段名；context 一经使用不得更改",
            obj=field,
            id="crypto.E010",
        )
        for _model, field in _sealed()
        if contexts.get(name := _named(field)) != field.context
    ]


@register(Tags.models)
def constraints_leave_sealed_fields_alone(**_: Any) -> list[CheckMessage]:
    """No two sealings are equal, so uniqueness of them would hold of anything."""
    return [
        Error(
            f"封存字段 {field.name} 不能参与约束或索引",
            hint="唯一性由盲索引列保证",
            obj=field,
            id="crypto.E006",
        )
        for model in apps.get_models(include_auto_created=True)
        for field in _among(model, _constrained(model._meta))
    ]


@register(Tags.models)
def nothing_is_ordered_by_a_sealed_field(**_: Any) -> list[CheckMessage]:
    return [
        Error(f"不能按封存字段 {field.name} 排序", obj=model, id="crypto.E011")
        for model in apps.get_models(include_auto_created=True)
        for field in _among(model, _paths(model._meta.ordering))
    ]


@register(Tags.admin)
def admin_leaves_sealed_fields_alone(**_: Any) -> list[CheckMessage]:
    """What a list shows, sorts by, filters by or searches in would be text, or nonsense."""
    return [
        Error(
            f"管理页面的 {option} 不能使用封存字段 {field.name}",
            hint="显示用脱敏方法，查询用盲索引",
            obj=type(admin),
            id="crypto.E012",
        )
        for site in all_sites
        for admin in site._registry.values()  # noqa: SLF001 (there is no other way)
        for model, option, paths in _used_by(admin)
        for field in _among(model, paths)
    ]


@register(Tags.models)
def indexes_are_sound(**_: Any) -> list[CheckMessage]:
    """Each blind index must have more values than can be counted, and enough bits."""
    return [
        found
        for model in apps.get_models()
        for index in vars(model).values()
        if isinstance(index, BlindIndex)
        for found in index.check()
    ]


@register(Tags.models)
def names_of_rows_show_nothing(**_: Any) -> list[CheckMessage]:
    """What `str()` of a row says goes to logs, to messages and to the admin's own history."""
    return [
        Error(f"{model._meta.label} 的 __str__ 含有封存字段的内容", obj=model, id="crypto.E013")
        for model in {model: None for model, _field in _sealed()}
        if set(_PROBE) & set(_shown(model))
    ]


@register(Tags.security)
def nothing_is_debugged_in_production(**_: Any) -> list[CheckMessage]:
    """A debug page shows the variables of callers, who hold text."""
    if not settings.DEBUG or settings.DEPLOY_LEVEL == "demo" or not any(_sealed()):
        return []
    return [Error("有封存数据时不能打开 DEBUG", hint="DEBUG = False", id="crypto.E014")]


@register(Tags.security)
def suite_is_known(**_: Any) -> list[CheckMessage]:
    try:
        Suite.named(settings.CRYPTO_SUITE)
    except ValueError:
        hint = "aes-256-gcm 或 sm4-gcm"
        return [Error("CRYPTO_SUITE 不是受支持的密码套件", hint=hint, id="crypto.E007")]
    return []


def _sealed() -> Iterator[tuple[type[models.Model], SealedField]]:
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.local_fields:
            if isinstance(field, SealedField):
                yield model, field


def _named(field: SealedField) -> str:
    return f"{field.model._meta.label_lower}.{field.name}"


def _constrained(meta: Any) -> Iterator[str]:
    for names in meta.unique_together:
        yield from names
    for one in (*meta.indexes, *meta.constraints):
        for part in ("fields", "include", "expressions", "condition"):
            yield from _paths(getattr(one, part, None))


def _used_by(admin: Any) -> Iterator[tuple[type[models.Model], str, Iterable[str]]]:
    for option in ("search_fields", "list_filter", "ordering", "list_display", "list_editable"):
        yield admin.model, option, _paths(getattr(admin, option))
    yield admin.model, "date_hierarchy", _paths(admin.date_hierarchy)
    for shown in admin.list_display:
        method = (
            shown if callable(shown) else getattr(admin, shown, getattr(admin.model, shown, None))
        )
        order = getattr(method, "admin_order_field", None)
        yield admin.model, "display(ordering=…)", _paths(order)
    for form in (admin, *admin.inlines):
        for option in ("fields", "readonly_fields", "fieldsets"):
            yield form.model, option, _paths(getattr(form, option))


def _paths(named: Any) -> Iterator[str]:
    """Yield the paths to fields in what Django takes for one: names, lists, Q, F, expressions."""
    if isinstance(named, str):
        if not named.endswith("__isnull"):
            yield named.lstrip("-^=@")
    elif isinstance(named, Q):
        for child in named.children:
            yield from _paths(child)
    elif isinstance(named, dict):  # of a fieldset
        yield from _paths(list(named.values()))
    elif isinstance(named, list | tuple):
        for one in named:
            yield from _paths(one)
    else:
        if isinstance(name := getattr(named, "name", None), str):
            yield name
        yield from _paths(getattr(named, "get_source_expressions", list)())


def _among(model: type[models.Model], paths: Iterable[str]) -> Iterator[SealedField]:
    """Yield the sealed fields the paths lead to, through relations too."""
    for path in paths:
        at: Any = model
        for name in path.split("__"):
            try:
                field = at._meta.get_field(name)
            except (FieldDoesNotExist, AttributeError):
                break
            if isinstance(field, SealedField):
                yield field
                break
            at = field.related_model


def _shown(model: type[models.Model]) -> str:
    probe = model(**{field.name: _PROBE for field in sealed_fields(model)})
    try:
        return f"{probe} {probe!r}"
    except Exception:  # noqa: BLE001 (whatever it needs, an empty row has not)
        return ""
