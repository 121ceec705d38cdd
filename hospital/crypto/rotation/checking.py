"""
An examination of everything sealed: does each key unwrap, each value open, each index agree?

It changes nothing but its own job. One that was broken off begins anew: what was right
yesterday says nothing of today.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, QuerySet

from hospital.crypto import epochs, index_keys
from hospital.crypto.data_keys import SYSTEM_SUBJECT, Generations, UnknownKey, generations_of
from hospital.crypto.fields import Sealed, SealedField, Unplaced
from hospital.crypto.indexes import BlindIndex
from hospital.crypto.models import DataKey, IndexKey, key_database
from hospital.crypto.rotation.indexes import prefetch_keys
from hospital.crypto.rotation.jobs import Finding, Phase, Run
from hospital.crypto.rotation.tables import (
    Table,
    all_blind_indexes,
    cursor_at,
    every,
    following,
    sealed_tables,
    walk,
)
from hospital.crypto.sealing import Unopenable, generation_of, unseal

_AT_ONCE: Final = 1_000  # rows read at once
_SHARED_BY: Final = 20  # rows with one digest, and more than one in a thousand: countable
_ONE_IN: Final = 1_000
_State = IndexKey.State


class IndexDiffers(Exception):
    """A digest is not that of its row."""


class IndexLeftOver(Exception):
    """A digest of no version that is alive."""


class Countable(Exception):
    """So many rows share a digest that it can be guessed by counting."""


@dataclass
class Tally:
    """What is normal, and counted."""

    keys: int = 0
    values: int = 0
    digests: int = 0
    erased: int = 0  # subjects
    erased_values: int = 0
    orphans: int = 0  # subjects that have a key, and no row


def phases(tally: Tally) -> Mapping[str, Phase]:
    """Return the phases of one examination, which counts in `tally`."""
    return {
        "keys": Phase("逐个解开密钥", lambda run: _keys(run, tally)),
        "values": Phase("逐条打开封存的数据", lambda run: _values(run, tally)),
        "indexes": Phase("逐条核对盲索引", lambda run: _indexes(run, tally)),
        "shared": Phase("查找可被计数的索引", lambda run: _shared(run, tally)),
    }


def _keys(run: Run, tally: Tally) -> str:
    data, index = _alive(DataKey), _alive(IndexKey)
    epochs_ = epochs.in_use()
    run.start_pass(epochs_.count() + data.count() + index.count())
    with run.batch(run.alias) as step:
        for row in epochs_:
            step.findings += _wrong(row, partial(epochs.prove, row))
            step.done += 1
        for key in index.select_related("epoch"):
            step.findings += _wrong(key, partial(index_keys.opened, key))
            step.done += 1
    tally.keys += step.done
    tally.erased = (
        DataKey.objects.using(key_database())
        .filter(wrapped=None)
        .values("subject")
        .distinct()
        .count()
    )
    tables, after = sealed_tables(), 0
    rows = data.order_by("pk")
    while some := list(rows.filter(pk__gt=after)[: run.batch_size(_AT_ONCE)]):
        after = some[-1].pk
        keys = generations_of({row.subject for row in some})
        with run.batch(run.alias) as step:
            for row in some:
                mine = keys[row.subject]
                step.findings += _wrong(row, partial(mine.vouch, row.generation))
            step.cursor, step.done = str(after), len(some)
        tally.keys += len(some)
        newest = {row.subject for row in some if keys[row.subject].newest == row.generation}
        tally.orphans += len(newest - _with_rows(tables, newest) - {SYSTEM_SUBJECT})
    return "values"


def _values(run: Run, tally: Tally) -> str:
    tables = sealed_tables()
    run.mark("", total=sum(every(table.model).count() for table in tables))
    for place, rows in walk(
        run,
        [table.model for table in tables],
        lambda place, after: tables[place].rows(after, run.batch_size(_AT_ONCE)),
    ):
        table = tables[place]
        keys = generations_of(table.subjects(rows))
        with run.batch(run.alias) as step:
            for row in rows:
                for field in table.fields:
                    step.findings += _unopenable(table, field, row, keys, tally)
            step.cursor, step.done = cursor_at(table.model, rows[-1]["pk"]), len(rows)
    return "indexes"


def _unopenable(
    table: Table,
    field: SealedField,
    row: dict[str, Any],
    keys: dict[UUID, Generations],
    tally: Tally,
) -> list[Finding]:
    if row[field.attname] is None:
        return []
    subject = table.subject(field, row)
    if subject in keys and keys[subject].is_forgotten:
        tally.erased_values += 1
        return []
    tally.values += 1
    try:
        _open(table, field, row, keys)
    except (Unopenable, Unplaced, UnicodeDecodeError):
        again = _read_again(table, row["pk"])  # it may have been sealed anew since it was read
        if again is None:
            return []
        try:
            _open(table, field, again, generations_of(table.subjects([again])))
        except (Unopenable, Unplaced, UnicodeDecodeError) as exc:
            return [Finding(table.label, str(row["pk"]), field.name, type(exc).__name__)]
    return []


def _open(
    table: Table, field: SealedField, row: dict[str, Any], keys: dict[UUID, Generations]
) -> None:
    held: Sealed | None = row[field.attname]
    if held is None:
        return
    subject = table.subject(field, row)
    if subject is None:
        raise Unplaced
    if subject not in keys:
        raise UnknownKey
    secret = keys[subject].secret(generation_of(held.blob))
    unseal(
        held.blob, key=secret.key, context=field.context, subject=subject, row=row["pk"]
    ).decode()


def _read_again(table: Table, pk: Any) -> dict[str, Any] | None:
    names = ["pk", *table.columns]
    found = every(table.model).filter(pk=pk).values_list(*names).first()
    return None if found is None else dict(zip(names, found, strict=True))


def _indexes(run: Run, tally: Tally) -> str:
    index_keys.forget()
    indexes = all_blind_indexes()
    models = sorted({index.model for index in indexes}, key=lambda one: one._meta.label_lower)
    run.mark("", total=sum(every(model).count() for model in models))
    for place, rows in walk(
        run,
        models,
        lambda place, after: list(following(models[place], after)[: run.batch_size(_AT_ONCE)]),
    ):
        mine = [index for index in indexes if index.model is models[place]]
        prefetch_keys(rows)
        with run.batch(run.alias) as step:
            for row in rows:
                for index in mine:
                    step.findings += _different(index, row, tally)
            step.cursor, step.done = cursor_at(models[place], rows[-1].pk), len(rows)
    return "shared"


def _different(index: BlindIndex, row: Any, tally: Tally) -> list[Finding]:
    found = []
    for slot, column in enumerate(index.columns):
        tally.digests += getattr(row, column) is not None
        if _fault(index, row, slot) is None:
            continue
        again = every(index.model).filter(pk=row.pk).first()  # it may just have been written
        index_keys.forget()
        fault = None if again is None else _fault(index, again, slot)
        if fault is not None:
            found.append(Finding(row._meta.label_lower, str(row.pk), column, fault.__name__))
    return found


def _fault(index: BlindIndex, row: Any, slot: int) -> type[Exception] | None:
    held: str | None = getattr(row, index.columns[slot])
    keys = index.keys()
    if index.is_left_alone(row) and any(one.slot == slot for one in keys.versions):
        return None  # there is nothing left to compare it with
    secret = keys.written_to(slot)
    if secret is None:
        is_being_emptied = any(one.slot == slot for one in keys.versions)
        return None if held is None or is_being_emptied else IndexLeftOver
    if held is None and secret.state == _State.FILLING:
        return None
    try:
        return None if index.digest_of(row, secret) == held else IndexDiffers
    except (Unopenable, Unplaced, LookupError) as exc:  # LookupError: no rule of that name
        return type(exc)


def _shared(run: Run, tally: Tally) -> str:
    indexes = [index for index in all_blind_indexes() if not index.unique]
    run.mark("", total=len(indexes))
    for index in indexes:
        with run.batch(run.alias) as step:
            for column in index.columns:
                rows = every(index.model).filter(**{f"{column}__isnull": False}).order_by()
                most = max(_SHARED_BY, rows.count() // _ONE_IN)
                groups = rows.values(column).annotate(sharing=Count("pk"))
                step.findings += [
                    Finding(index.model._meta.label_lower, "", column, Countable.__name__)
                ] * groups.filter(sharing__gt=most).count()
            step.done = 1
    total = tally.keys + tally.values + tally.digests
    run.mark("", total=total, done=total)
    return ""


def _wrong(row: Any, look: Callable[[], object]) -> list[Finding]:
    try:
        look()
    except Unopenable as exc:
        return [Finding(row._meta.label_lower, str(row.pk), "wrapped", type(exc).__name__)]
    return []


def _with_rows(tables: Sequence[Table], subjects: set[UUID]) -> set[UUID]:
    found: set[UUID] = set()
    for table in tables:
        for name in {one.subject_attname for one in table.fields if isinstance(one.subject, str)}:
            found |= {
                *every(table.model).filter(**{f"{name}__in": subjects}).values_list(name, flat=True)
            }
    return found


def _alive(model: Any) -> "QuerySet[Any]":
    found: QuerySet[Any] = model.objects.using(key_database()).filter(wrapped__isnull=False)
    return found


PHASES: Final = phases(Tally())
