"""
Whether anything of somebody who was forgotten can still be read, or found by.

Asked by a process of its own, which has never held one of their keys: what one process remembers
proves nothing of the others, and of a backup nothing either.
"""

import subprocess
import sys
from collections.abc import Collection, Iterator
from typing import Any, Final
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db import models

from hospital.crypto import keyring
from hospital.crypto.indexes import blind_indexes
from hospital.crypto.records import sealed_fields
from hospital.crypto.sealing import Unopenable
from hospital.patients.models import Patient
from hospital.privacy.models import Erasure

FOUND: Final = 3  # the exit code of `verifyerasure` where something can be read
_PATIENCE: Final = 50  # seconds; a task is stopped after sixty


class NotVerified(Exception):
    """The process that was to look did not come to an answer."""


def by_a_cold_process(pks: Collection[UUID]) -> set[UUID]:
    """
    Return those of these erasures of which something can be read, as another process finds.

    :raises NotVerified:
    """
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "verifyerasure", "--ids"]
    try:
        ended = subprocess.run(  # noqa: S603 (our own command, and ids)
            [*command, *map(str, pks)],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotVerified from None
    if ended.returncode not in {0, FOUND}:
        raise NotVerified
    return set(map(UUID, ended.stdout.split()))


def legible(erasure: Erasure) -> list[str]:
    """Return where something is left: `app.model.column`, or the key itself; each place once."""
    keys = [UUID(key) for key in erasure.keys]
    found = ["crypto.datakey" for _ in keyring.alive(keys)]
    for model in apps.get_models():
        found += _sealed(model, keys, erasure.subject)
        found += _indexed(model, erasure.subject)
    return sorted(set(found))


def _sealed(model: type[models.Model], keys: list[UUID], subject: UUID) -> Iterator[str]:
    for field in sealed_fields(model):
        if field.fixed is None:
            rows = _rows(model).filter(**{f"{field.subject_attname}__in": keys})
        else:  # under a key of the system's own: nothing of theirs may be left there
            rows = _of(model, subject)
        for held in rows.filter(**{f"{field.name}__isnull": False}):
            if field.fixed is not None or _opens(held, field.attname):
                yield f"{model._meta.label_lower}.{field.name}"


def _indexed(model: type[models.Model], subject: UUID) -> Iterator[str]:
    for index in blind_indexes(model):
        for column in index.columns:
            if _of(model, subject).filter(**{f"{column}__isnull": False}).exists():
                yield f"{model._meta.label_lower}.{column}"


def _opens(row: models.Model, attname: str) -> bool:
    try:
        getattr(row, attname)
    except Unopenable:
        return False
    return True


def _of(model: type[models.Model], subject: UUID) -> "models.QuerySet[Any]":
    """Return the rows that are this patient's, or the patient."""
    if model is Patient:
        return _rows(model).filter(pk=subject)
    names = [
        field.name
        for field in model._meta.local_concrete_fields
        if isinstance(field, models.ForeignKey) and field.related_model is Patient
    ]
    whose = models.Q(*((name, subject) for name in names), _connector=models.Q.OR)
    return _rows(model).filter(whose) if names else _rows(model).none()


def _rows(model: type[models.Model]) -> "models.QuerySet[Any]":
    return model._meta.base_manager.all()
