"""
A new key for a blind index, while rows are written and looked for all the time.

    filling → active → … and the old one: active → retiring → retired → destroyed

A step is taken when every process has heard of the one before. From the first wait on, whoever
writes a row writes both columns; so both are complete, and both are unique, when searching
moves from one to the other. `hospital.crypto.index_keys` says what each state means.

Tokens that are not kept have no column to fill: the new version is looked for everywhere
before the first is written with it, and the old one until all its tokens are void.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, models, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from hospital.crypto import data_keys, epochs, index_keys
from hospital.crypto.fields import SealedField, Unplaced
from hospital.crypto.index_keys import IndexSecret
from hospital.crypto.indexes import BlindIndex
from hospital.crypto.models import IndexKey, key_database
from hospital.crypto.normalising import OPAQUE
from hospital.crypto.rotation import in_flight
from hospital.crypto.rotation.jobs import Finding, Phase, Run, sweep_until_clean
from hospital.crypto.rotation.swapping import Swap, swap
from hospital.crypto.rotation.tables import (
    alias_of,
    all_blind_indexes,
    cursor_at,
    every,
    following,
    walk,
)
from hospital.crypto.sealing import Unopenable
from hospital.crypto.suites import Mac

TOKENS_LIVE: Final = timedelta(days=31)  # longer than any token whose digest is kept to be found
_AT_ONCE: Final = 1_000  # rows in one transaction
_State = IndexKey.State


class Duplicate(Exception):
    """Two rows have the same value; one of them must go before the index can be unique."""


def labels() -> list[str]:
    """Return every label that has a key; one that has none has nothing to rotate."""
    alive = _keys().exclude(state=_State.DESTROYED)
    return sorted({*alive.values_list("label", flat=True)})


def target(label: str) -> str:
    """Return label and version a rotation that begins now would make, or goes on with."""
    newest = _keys().filter(label=label).order_by("-version").first()
    assert newest is not None  # noqa: S101 (`labels` named it)
    is_begun = newest.state == _State.FILLING
    return f"{label}/{newest.version + (0 if is_begun else 1)}"


def rows_of(label: str) -> int:
    """Return how many rows a rotation of this label goes through."""
    index = _index(label)
    return every(index.model).count() if index else 0


def forgets(label: str) -> int:
    """Return of how many rows a rotation of this label drops the digest: its value is gone."""
    index = _index(label)
    if index is None or not index.outlives:
        return 0
    filled = models.Q(*((f"{one}__isnull", False) for one in index.columns), _connector="OR")
    return every(index.model).filter(filled, **{f"{index.outlives}__isnull": False}).count()


def is_of(label: str, algorithm: Mac) -> bool:
    """Whether the version in use is for this algorithm."""
    return _keys().filter(label=label, state=_State.ACTIVE, algorithm=algorithm).exists()


def is_for_tokens(label: str) -> bool:
    return _index(label) is None


def destroy_old_tokens(*, now: datetime) -> int:
    """Destroy the keys whose tokens are all void by now; return how many."""
    tokens = [label for label in labels() if is_for_tokens(label)]
    old = _keys().filter(label__in=tokens, state=_State.RETIRING, since__lt=now - TOKENS_LIVE)
    return old.update(state=_State.DESTROYED, since=Now(), wrapped=None)


def _begin(run: Run) -> str:
    label, version = _target(run)
    if not _keys().filter(label=label, version=version).exists():
        index = _index(label)
        with transaction.atomic(using=key_database()):
            index_keys.new_key(
                label,
                version,
                normaliser=(index.normaliser if index else OPAQUE).name,
                algorithm=epochs.configured_suite().mac,
                state=_State.FILLING,
                epoch=epochs.active(),
            ).save(using=key_database(), force_insert=True)
    return "heard"


def _heard(run: Run) -> str:
    _settle(run)
    return "switch" if is_for_tokens(_target(run)[0]) else "fill"


def _fill(run: Run) -> str:
    index, secret = _its_index(run), _secret(run)

    def sweep() -> None:
        for _place, rows in walk(
            run,
            [index.model],
            lambda _place, after: list(following(index.model, after)[: run.batch_size(_AT_ONCE)]),
        ):
            _fill_batch(run, index, secret, rows)

    sweep_until_clean(run, total=lambda: every(index.model).count(), sweep=sweep)
    return "" if run.job.failed else "switch"  # an incomplete column is not searched


def _fill_batch(run: Run, index: BlindIndex, secret: IndexSecret, rows: Sequence[Any]) -> None:
    prefetch_keys(rows)
    new, old = index.columns[secret.slot], index.columns[1 - secret.slot]
    columns = [index.model._meta.get_field(name) for name in (new, old)]
    swaps, findings = [], []
    for row in rows:
        try:
            wanted = index.digest_of(row, secret)
        except (Unopenable, Unplaced) as exc:
            findings.append(_finding(row, new, exc))
            continue
        was = getattr(row, new), getattr(row, old)
        # What nobody is to be found by any more leaves the old column as well.
        becomes = (wanted, None) if wanted is None else (wanted, was[1])
        if was != becomes:
            swaps.append(Swap(row.pk, was, becomes))
    alias = alias_of(index.model)
    with run.batch(alias) as step:
        changed, clashing = _swapped(index, columns, swaps, using=alias)
        step.cursor, step.done = cursor_at(index.model, rows[-1].pk), len(rows)
        step.changed, step.conflicts = changed, len(swaps) - changed - len(clashing)
        step.findings = findings + _duplicates(index, new, clashing)


def _swapped(
    index: BlindIndex, columns: Sequence[Any], swaps: Sequence[Swap], *, using: str
) -> tuple[int, list[Swap]]:
    """Write them all, or one by one where one is forbidden; return how many, and the forbidden."""
    try:
        with transaction.atomic(using=using):
            return swap(index.model, columns, swaps, using=using), []
    except IntegrityError:
        pass
    changed, clashing = 0, []
    for one in swaps:
        try:
            with transaction.atomic(using=using):
                changed += swap(index.model, columns, [one], using=using)
        except IntegrityError:
            clashing.append(one)
    return changed, clashing


def _duplicates(index: BlindIndex, column: str, clashing: Sequence[Swap]) -> list[Finding]:
    """Name each of these rows, and who has its digest already."""
    same = every(index.model).filter(**{f"{column}__in": [one.new[0] for one in clashing]})
    pks = {one.pk for one in clashing} | {*same.values_list("pk", flat=True)}
    label, error = index.model._meta.label_lower, Duplicate.__name__
    return [Finding(label, str(pk), column, error) for pk in sorted(pks)]


def _switch(run: Run) -> str:
    label, version = _target(run)
    with transaction.atomic(using=key_database()):
        if _move(label, version, _State.FILLING, _State.FILLING):  # not yet; and now it is ours
            active = _keys().filter(label=label, state=_State.ACTIVE)
            active.update(state=_State.RETIRING, since=Now())
            _move(label, version, _State.FILLING, _State.ACTIVE)
    index_keys.forget()
    return "" if is_for_tokens(label) else "searched"


def _searched(run: Run) -> str:
    _settle(run)
    label, version = _target(run)
    _move(label, version - 1, _State.RETIRING, _State.RETIRED)
    index_keys.forget()
    return "left"


def _left(run: Run) -> str:
    _settle(run)
    return "clear"


def _clear(run: Run) -> str:
    index, secret = _its_index(run), _secret(run)
    new, old = index.columns[secret.slot], index.columns[1 - secret.slot]
    full = {f"{old}__isnull": False, f"{new}__isnull": False}
    column, alias = index.model._meta.get_field(old), alias_of(index.model)

    def read(_place: int, after: Any) -> list[dict[str, Any]]:
        rows = following(index.model, after).filter(**full).values("pk", old)
        return list(rows[: run.batch_size(_AT_ONCE)])

    def sweep() -> None:
        for _place, rows in walk(run, [index.model], read):
            swaps = [Swap(row["pk"], (row[old],), (None,)) for row in rows]
            with run.batch(alias) as step:
                changed = swap(index.model, [column], swaps, using=alias)  # type: ignore[list-item]
                step.cursor, step.done = cursor_at(index.model, rows[-1]["pk"]), len(rows)
                step.changed, step.conflicts = changed, len(swaps) - changed

    sweep_until_clean(run, total=lambda: every(index.model).filter(**full).count(), sweep=sweep)
    return "destroy"


def _destroy(run: Run) -> str:
    label, version = _target(run)
    retired = _keys().filter(label=label, version=version - 1, state=_State.RETIRED)
    retired.update(state=_State.DESTROYED, since=Now(), wrapped=None)
    index_keys.forget()
    total = rows_of(label)
    run.mark("", total=total, done=total)
    return ""


def _move(label: str, version: int, before: str, after: str) -> int:
    rows = _keys().filter(label=label, version=version, state=before)
    return rows.update(state=after, since=Now())


def _settle(run: Run) -> None:
    index = _index(_target(run)[0])
    in_flight.settle(run, [alias_of(index.model)] if index else [run.alias])


def _target(run: Run) -> tuple[str, int]:
    label, _, version = run.job.target.rpartition("/")
    return label, int(version)


def _secret(run: Run) -> IndexSecret:
    label, version = _target(run)
    index_keys.forget()
    keys = index_keys.index_keys(label, normaliser=OPAQUE.name)
    [secret] = [one for one in keys.versions if one.version == version]
    return secret


def _its_index(run: Run) -> BlindIndex:
    index = _index(_target(run)[0])
    assert index is not None  # noqa: S101 (tokens never come to these phases)
    return index


def _index(label: str) -> BlindIndex | None:
    return next((one for one in all_blind_indexes() if one.label == label), None)


def prefetch_keys(rows: Sequence[models.Model]) -> None:
    """Fetch the keys of all that is sealed in these rows, in one query."""
    fields = [one for one in rows[0]._meta.concrete_fields if isinstance(one, SealedField)]
    names = {field.subject_attname for field in fields if isinstance(field.subject, str)}
    data_keys.prefetch({getattr(row, name) for row in rows for name in names} - {None})


def _finding(row: models.Model, column: str, exc: Exception) -> Finding:
    return Finding(row._meta.label_lower, str(row.pk), column, type(exc).__name__)


def _keys() -> QuerySet[IndexKey]:
    return IndexKey.objects.using(key_database())


PHASES: Final = {
    "begin": Phase("生成新一版索引密钥", _begin),
    "heard": Phase("等待各进程同时写两列", _heard),
    "fill": Phase("填充新索引列", _fill),
    "switch": Phase("改用新索引查询", _switch),
    "searched": Phase("等待各进程改用新索引", _searched),
    "left": Phase("等待各进程停写旧索引列", _left),
    "clear": Phase("清空旧索引列", _clear),
    "destroy": Phase("销毁旧索引密钥", _destroy),
}
