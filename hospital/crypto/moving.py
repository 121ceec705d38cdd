"""
From a column of plain text to a sealed one beside it, while others go on writing.

Row by row, compare and set: whoever changes the text meanwhile has the last word. Nothing is
remembered between two runs, so that one killed at any moment is simply started again.
The steps around this, and when each is safe, are in docs/sealing-an-existing-table.md.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import models, router, transaction

from hospital.crypto import keyring
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import blind_indexes
from hospital.crypto.sealing import Unopenable

_BATCH: Final = 500  # rows in one transaction: about a second of an embedded database's only lock


@dataclass(frozen=True)
class Progress:
    """How far a run has come, in rows."""

    total: int  # as counted when it began
    done: int
    left: int  # passed over: changed meanwhile, or not what they should be


def seal_column(
    model: type[models.Model],
    *,
    plain: str,
    sealed: str,
    batch: int = _BATCH,
) -> Iterator[Progress]:
    """
    Seal the text of `plain` into `sealed`, where that is NULL; yield after each transaction.

    The blind indexes of the model are filled in the same statement. A row whose text changed
    between reading and writing is left as it is, for the next run.

    :raises ValueError: a text is longer than the sealed field takes, or is not Unicode
    :raises Unplaced: a row has no subject
    :raises KeyUnavailable:
    """
    column = _sealed_field(model, sealed)
    digests = {name for index in blind_indexes(model) for name in index.columns}
    filled = [column, *(one for one in model._meta.concrete_fields if one.name in digests)]
    rows = _rows(model).filter(**{f"{plain}__isnull": False, f"{sealed}__isnull": True})

    def seal(row: models.Model) -> bool:
        text = getattr(row, plain)
        setattr(row, sealed, text)
        values = {field.name: field.pre_save(row, add=False) for field in filled}
        return bool(rows.filter(pk=row.pk, **{plain: text}).update(**values))

    return _each(_batches(rows, column, size=batch, keys=keyring.provide), seal, rows)


def unequal(
    model: type[models.Model], *, plain: str, sealed: str, batch: int = _BATCH
) -> Iterator[Any]:
    """
    Yield the primary key of each row whose two columns do not say the same, NULL included.

    A sealed value that does not open says nothing the plain one does.

    :raises KeyUnavailable:
    """
    column = _sealed_field(model, sealed)
    for rows in _batches(_rows(model), column, size=batch, keys=keyring.prefetch):
        yield from (row.pk for row in rows if not _agree(row, plain, sealed))


def clear_column(
    model: type[models.Model], *, plain: str, sealed: str, batch: int = _BATCH
) -> Iterator[Progress]:
    """
    Set `plain` to NULL where the sealed value was just opened and is that very text.

    What differs keeps its plain text, and is counted as left. There is no way back from here
    but the keys.

    :raises KeyUnavailable:
    """
    rows = _rows(model).filter(**{f"{plain}__isnull": False})

    def clear(row: models.Model) -> bool:
        if not _agree(row, plain, sealed):
            return False
        same = rows.filter(pk=row.pk, **{plain: getattr(row, plain)})
        return bool(same.filter(**{f"{sealed}__isnull": False}).update(**{plain: None}))

    column = _sealed_field(model, sealed)
    return _each(_batches(rows, column, size=batch, keys=keyring.prefetch), clear, rows)


def _each(
    batches: Iterator[list[models.Model]],
    act: Callable[[models.Model], bool],
    rows: models.QuerySet[Any],
) -> Iterator[Progress]:
    total, done, left = rows.count(), 0, 0
    for some in batches:
        with transaction.atomic(using=rows.db):
            succeeded = sum(map(act, some))
        done, left = done + succeeded, left + len(some) - succeeded
        yield Progress(total, done, left)


def _batches(
    rows: models.QuerySet[Any],
    column: SealedField,
    *,
    size: int,
    keys: Callable[[Iterable[UUID]], None],
) -> Iterator[list[models.Model]]:
    """Yield all rows in the order of their keys, each batch with its subjects' keys at hand."""
    rows = rows.order_by("pk")
    some = list(rows[:size])
    while some:
        keys(column.place_of(row)[1] for row in some)
        yield some
        some = list(rows.filter(pk__gt=some[-1].pk)[:size])


def _rows(model: type[models.Model]) -> models.QuerySet[Any]:
    # Every row, also those a default manager hides; of the primary, also for reading.
    return model._meta.base_manager.using(router.db_for_write(model))


def _agree(row: models.Model, plain: str, sealed: str) -> bool:
    try:
        return bool(getattr(row, plain) == getattr(row, sealed))
    except Unopenable:
        return False


def _sealed_field(model: type[models.Model], name: str) -> SealedField:
    column = model._meta.get_field(name)
    if not isinstance(column, SealedField):
        raise TypeError(f"{name} is not a sealed field")
    return column
