"""What must hold between all sealed fields of the project, and of its settings."""

from collections import defaultdict
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from hospital.crypto.fields import SealedField
from hospital.crypto.suites import Suite


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
def constraints_leave_sealed_fields_alone(**_: Any) -> list[CheckMessage]:
    """No two sealings are equal, so uniqueness of them would hold of anything."""
    return [
        Error(
            f"封存字段 {field.name} 不能参与唯一约束或索引",
            hint="唯一性由盲索引列保证",
            obj=field,
            id="crypto.E006",
        )
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.local_fields
        if isinstance(field, SealedField) and field.name in _constrained(model._meta)
    ]


@register(Tags.security)
def suite_is_known(**_: Any) -> list[CheckMessage]:
    try:
        Suite.named(settings.CRYPTO_SUITE)
    except ValueError:
        hint = "aes-256-gcm 或 sm4-gcm"
        return [Error("CRYPTO_SUITE 不是受支持的密码套件", hint=hint, id="crypto.E007")]
    return []


def _constrained(meta: Any) -> set[str]:
    named = [*meta.unique_together, *(index.fields for index in meta.indexes)]
    named += [getattr(constraint, "fields", ()) for constraint in meta.constraints]
    return {name.lstrip("-") for names in named for name in names}
