"""
New data keys for everybody, and every sealed value sealed anew under them.

An older key is deleted only when no value names it any more: that is looked up, subject by
subject, at the moment of deleting. What does not open keeps its key. Erased subjects stay so.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, Max, OuterRef, QuerySet

from hospital.crypto import data_keys, epochs
from hospital.crypto.data_keys import Generations, UnknownKey, generations_of
from hospital.crypto.fields import Sealed, SealedField, Unplaced
from hospital.crypto.models import DataKey, key_database
from hospital.crypto.rotation import in_flight
from hospital.crypto.rotation.jobs import Finding, Phase, Run, sweep_until_clean
from hospital.crypto.rotation.swapping import Swap, swap
from hospital.crypto.rotation.tables import (
    Table,
    cursor_at,
    every,
    sealed_aliases,
    sealed_tables,
    walk,
)
from hospital.crypto.sealing import Unopenable, generation_of, seal, unseal
from hospital.crypto.suites import Suite

_KEYS_AT_ONCE: Final = 5_000  # rows in one transaction
_ROWS_AT_ONCE: Final = 1_000


def subjects() -> int:
    """Return how many subjects have a key that is alive."""
    return _newest().count()


def values() -> dict[str, int]:
    """Return model and column → how many sealed values there are."""
    return {
        f"{table.label}.{field.name}": every(table.model)
        .filter(**{f"{field.name}__isnull": False})
        .count()
        for table in sealed_tables()
        for field in table.fields
    }


def of_other_suite(suite: Suite) -> bool:
    """Whether somebody's newest key is for another cipher."""
    return _newest().exclude(suite=suite).exists()


def _make_keys(run: Run) -> str:
    if not run.job.cursor:
        # Which keys are to be replaced is settled before the first new one is made. Those with
        # lower numbers may not have committed yet.
        newest = _rows().aggregate(newest=Max("pk"))["newest"] or 0
        in_flight.wait(key_database(), tick=lambda: run.renew("等待未结束的事务"))
        run.mark(f"{newest}|0", total=_newest().filter(pk__lte=newest).count())
    suite = epochs.configured_suite()
    newest, after = map(int, run.job.cursor.split("|"))
    due = _newest().filter(pk__lte=newest).order_by("pk").values_list("pk", flat=True)
    while pks := list(due.filter(pk__gt=after)[: run.batch_size(_KEYS_AT_ONCE)]):
        after = pks[-1]
        with run.batch(key_database()) as step:
            # Locked, so that nobody is erased meanwhile and then has a key again.
            alive = _newest().filter(pk__in=pks).select_for_update(of=("self",))
            epoch = epochs.active()  # it may be rotated between two batches
            made = [
                data_keys.new_key(subject, generation + 1, suite=suite, epoch=epoch)
                for subject, generation in alive.values_list("subject", "generation")
            ]
            _rows().bulk_create(made, ignore_conflicts=True)
            step.cursor, step.done, step.changed = f"{newest}|{after}", len(pks), len(made)
    return "settle"


def _settle(run: Run) -> str:
    in_flight.settle(run, [*sealed_aliases(), key_database()])
    return "reseal"


def _reseal(run: Run) -> str:
    """Seal anew, until a whole pass finds nothing to do."""
    sweep_until_clean(run, total=_rows_in_all, sweep=lambda: _sweep(run))
    return "quiet"


def _quiet(run: Run) -> str:
    """Who read a row before it was sealed anew may save it as it was."""
    in_flight.settle(run, [*sealed_aliases(), key_database()])
    return "prove"


def _prove(run: Run) -> str:
    """Make sure: a value that still, or again, names an older key means waiting once more."""
    if run.job.cursor:  # killed half-way, and nobody knows what it found
        return "quiet"
    before = run.changed
    # Once: what a second pass found would hide, if it was killed, what the first one did.
    run.start_pass(_rows_in_all())
    _sweep(run)
    return "quiet" if run.changed > before else "retire"


def _sweep(run: Run) -> None:
    tables, size = sealed_tables(), run.batch_size(_ROWS_AT_ONCE)
    for place, rows in walk(
        run,
        [table.model for table in tables],
        lambda place, after: tables[place].rows(after, size),
    ):
        _reseal_batch(run, tables[place], rows)


def _rows_in_all() -> int:
    return sum(every(table.model).count() for table in sealed_tables())


def _reseal_batch(run: Run, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    keys, swaps, findings = generations_of(table.subjects(rows)), [], []
    for row in rows:
        old: list[bytes | None] = []
        new: list[bytes | None] = []
        for field in table.fields:
            held: Sealed | None = row[field.attname]
            old.append(None if held is None else held.blob)
            try:
                new.append(_sealed_anew(table, field, row, keys))
            except (Unopenable, Unplaced) as exc:
                error = type(exc).__name__
                findings.append(Finding(table.label, str(row["pk"]), field.name, error))
                new.append(old[-1])
        if old != new:
            swaps.append(Swap(row["pk"], old, new))
    with run.batch(table.alias) as step:
        changed = swap(table.model, table.fields, swaps, using=table.alias)
        step.cursor = cursor_at(table.model, rows[-1]["pk"])
        step.done, step.changed = len(rows), changed
        step.conflicts, step.findings = len(swaps) - changed, findings


def _sealed_anew(
    table: Table, field: SealedField, row: dict[str, Any], keys: dict[UUID, Generations]
) -> bytes | None:
    """
    Return the value under the subject's newest key: as it is, if that is it already.

    :raises Unopenable: in its many forms
    :raises Unplaced: nobody knows whose it is
    """
    held: Sealed | None = row[field.attname]
    if held is None:
        return None
    subject = table.subject(field, row)
    if subject is None:
        raise Unplaced
    if subject not in keys:
        raise UnknownKey
    mine, generation = keys[subject], generation_of(held.blob)
    if mine.is_forgotten or generation == mine.newest:
        return held.blob
    old, new = mine.secret(generation), mine.secret(mine.newest)
    place: dict[str, Any] = {"context": field.context, "subject": subject, "row": row["pk"]}
    text = unseal(held.blob, key=old.key, **place)
    return seal(text, key=new.key, generation=new.generation, **place)


def _retire(run: Run) -> str:
    """Delete the older keys that no value names."""
    older = _older().order_by("pk")
    if not run.job.cursor:
        run.mark("0", total=older.count())
    after, size = int(run.job.cursor), run.batch_size(_ROWS_AT_ONCE)
    while rows := list(
        older.filter(pk__gt=after).values_list("pk", "subject", "generation")[:size]
    ):
        after = rows[-1][0]
        named = _named({subject for _pk, subject, _generation in rows})
        free = [
            pk
            for pk, subject, generation in rows
            if not named.get(subject, set()) & {generation, None}
        ]
        with run.batch(key_database()) as step:
            _older().filter(pk__in=free).delete()
            step.cursor, step.done, step.changed = str(after), len(rows), len(free)
    total = sum(values().values())
    run.mark("", total=total, done=total - run.job.failed)
    return ""


def _named(subjects: set[UUID]) -> dict[UUID, set[int | None]]:
    """Return subject → the generations its values ask for; None for a value that does not say."""
    found: dict[UUID, set[int | None]] = {}
    for table in sealed_tables():
        for field in table.fields:
            for subject, held in _values_of(table, field, subjects):
                found.setdefault(subject, set()).add(_generation(held))
    return found


def _values_of(
    table: Table, field: SealedField, subjects: set[UUID]
) -> Iterable[tuple[UUID, Sealed]]:
    rows = every(table.model).filter(**{f"{field.name}__isnull": False})
    if isinstance(field.subject, UUID):
        if field.subject in subjects:
            for held in rows.values_list(field.attname, flat=True).iterator(_ROWS_AT_ONCE):
                yield field.subject, held
        return
    attname = field.subject_attname
    yield from rows.filter(**{f"{attname}__in": subjects}).values_list(attname, field.attname)


def _generation(held: Sealed) -> int | None:
    try:
        return generation_of(held.blob)
    except Unopenable:
        return None


def _rows() -> QuerySet[DataKey]:
    return DataKey.objects.using(key_database())


def _newest() -> QuerySet[DataKey]:
    """Return the newest key of every subject that is not erased."""
    newer = _rows().filter(subject=OuterRef("subject"), generation__gt=OuterRef("generation"))
    return _rows().filter(~Exists(newer), wrapped__isnull=False)


def _older() -> QuerySet[DataKey]:
    """Return the keys that have a newer one; of an erased subject they say when it was."""
    newer = _rows().filter(
        subject=OuterRef("subject"),
        generation__gt=OuterRef("generation"),
        wrapped__isnull=False,
    )
    return _rows().filter(Exists(newer), wrapped__isnull=False)


PHASES: Final = {
    "keys": Phase("生成新一代数据密钥", _make_keys),
    "settle": Phase("等待各进程改用新密钥", _settle),
    "reseal": Phase("重新封存数据", _reseal),
    "quiet": Phase("等待各进程放下旧数据", _quiet),
    "prove": Phase("逐条核对没有遗漏", _prove),
    "retire": Phase("删除不再使用的旧密钥", _retire),
}
