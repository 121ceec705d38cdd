"""
What is past its period goes, category by category, in batches that are each done or not.

Every room registers what it keeps. One sweep of a scope is at work at a time: it holds a lease on
its run, and a run whose process was killed is gone on with by the next. A dry one counts the same
rows by the same questions, and changes nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, Final
from uuid import UUID

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q, QuerySet

from hospital import retention
from hospital.audit import coverage
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.categories import BY_KEY, CATEGORIES
from hospital.categories import Clock as Kind
from hospital.errors import Refusal, Unavailable
from hospital.patients.models import Patient
from hospital.privacy import holding
from hospital.privacy.models import RetentionRun

BATCH: Final = 500  # rows in one transaction
LEASE: Final = timedelta(minutes=10)  # longer than a batch takes

Clock = Callable[[], datetime]
Told = Callable[[RetentionRun], None]
State = RetentionRun.State
Scope = RetentionRun.Scope


class Busy(Refusal):
    code = "sweep_busy"
    message = "另一个清理正在进行"


class LeaseLost(Refusal):
    code = "sweep_lease_lost"
    message = "清理已由另一个进程接手"


@dataclass(frozen=True)
class Pile:
    """
    Rows of one table that go by the same rule.

    :param due: which are past their period, given the cutoff and the moment
    :param whose: by which lookups a row leads to patients whose legal hold keeps it; none where
        a hold keeps nothing: artefacts and copies, and what is of nobody
    :param take: what becomes of these rows, in the transaction of their batch, which records
        what the rows' own events are; None: they are deleted. Returns how many it took
    """

    due: Callable[[datetime, datetime], QuerySet[Any]]
    whose: tuple[str, ...] = ()
    take: Callable[[Sequence[Any], datetime], int] | None = None


@dataclass(frozen=True)
class Sweep:
    """What of a category is taken when it is due."""

    category: str
    piles: tuple[Pile, ...]


_SWEEPS: Final[dict[str, Sweep]] = {}
# What goes by a task of its own, and which.
ELSEWHERE: Final[Mapping[str, str]] = {
    "trail": "pruneaudit, by two people",
    "trail_copy": "hospital.audit.tasks.sweep_exports",
}


def register(sweep: Sweep) -> None:
    """:raises ValueError: there is no such category, or it is swept by something else"""
    if sweep.category not in BY_KEY or sweep.category in ELSEWHERE:
        raise ValueError(f"{sweep.category} is no category to sweep")
    if _SWEEPS.setdefault(sweep.category, sweep) != sweep:
        raise ValueError(f"{sweep.category} is registered already")


def sweeps(scope: Scope = Scope.ALL) -> list[Sweep]:
    """Return the sweeps of this scope, in the order of the categories."""
    return [
        _SWEEPS[one.key]
        for one in CATEGORIES
        if one.key in _SWEEPS and (scope == Scope.ALL or one.clock is Kind.ARTEFACT)
    ]


def is_anything_due(scope: Scope, *, at: datetime) -> bool:
    """Return whether a sweep of this scope would take anything now."""
    return any(_parted(one, pile, at=at)[0].exists() for one in sweeps(scope) for pile in one.piles)


def taking(act: Callable[[Any, datetime], None]) -> Callable[[Sequence[Any], datetime], int]:
    """Return how a batch is taken row by row: one that refuses is left for the next sweep."""

    def take(rows: Sequence[Any], at: datetime) -> int:
        taken = 0
        for row in rows:
            try:
                with transaction.atomic():
                    act(row, at)
            except Refusal:
                continue
            taken += 1
        return taken

    return take


def rehearse(*, at: datetime) -> RetentionRun:
    """Count what a sweep would take at this moment; its run is all that is written."""
    counts = {one.category: _counted(one, at=at) for one in sweeps()}
    return RetentionRun.objects.create(
        is_dry=True, state=State.DONE, started_at=at, finished_at=at, counts=counts
    )


def listed(*, at: datetime) -> Iterator[tuple[str, str, Any]]:
    """Yield category, table and key of every row a sweep would take at this moment."""
    for one in sweeps():
        for pile in one.piles:
            free, _ = _parted(one, pile, at=at)
            for pk in free.values_list("pk", flat=True).iterator():
                yield one.category, free.model._meta.db_table, pk


def sweep(*, clock: Clock, scope: Scope = Scope.ALL, told: Told | None = None) -> RetentionRun:
    """
    Take what is due, and return the run: begun now, or gone on with where one was killed.

    :param told: hears of every batch
    :raises Busy: another process is at work
    :raises LeaseLost: this one was silent for so long that another took over
    """
    at = clock()
    run = _begun(at, scope)
    is_whole = True
    for one in sweeps(scope):
        try:
            for _ in _batches(one, run, clock=clock, at=at):
                if told:
                    told(run)
        except LeaseLost:
            raise
        # The other categories do not wait for this one.
        except (Refusal, Unavailable, DatabaseError) as exc:
            is_whole = False
            run.refresh_from_db(fields=["counts"])  # without what was undone
            run.counts[one.category]["refused"] = (
                "database_error" if isinstance(exc, DatabaseError) else exc.code
            )
            _keep(run, lease=clock() + LEASE)
    run.state, run.finished_at = State.DONE if is_whole else State.FAILED, clock()
    _keep(run, lease=None)
    return run


def _begun(at: datetime, scope: Scope) -> RetentionRun:
    """
    Return the run this process has the lease of.

    :raises Busy:
    """
    running = RetentionRun.objects.filter(state=State.RUNNING, is_dry=False, scope=scope)
    run = running.filter(lease_until__lte=at).first()
    try:
        with transaction.atomic():
            run = run or RetentionRun.objects.create(scope=scope, started_at=at, lease_until=at)
            _keep(run, lease=at + LEASE)  # of two that found it one has it
    except (IntegrityError, LeaseLost):
        raise Busy from None
    before = run.counts
    run.counts = dict(before)
    for one in sweeps(scope):
        count = _counted(one, at=at)
        gone = before.get(one.category, {}).get("gone", 0)
        run.counts[one.category] = count | {"due": count["due"] + gone, "gone": gone}
    _keep(run, lease=at + LEASE)
    return run


def _counted(one: Sweep, *, at: datetime) -> dict[str, Any]:
    due = held = 0
    for pile in one.piles:
        free, kept = _parted(one, pile, at=at)
        due, held = due + free.count(), held + (kept.count() if kept is not None else 0)
    return {"due": due, "gone": 0, "held": held}


def _parted(one: Sweep, pile: Pile, *, at: datetime) -> tuple[QuerySet[Any], QuerySet[Any] | None]:
    """Return what is due: what may go, and what a legal hold keeps."""
    rows = pile.due(retention.cutoff(one.category, at), at).order_by()
    if not pile.whose:
        return rows, None
    held = holding.standing(at=at).values("patient")
    kept = reduce(or_, (Q(**{f"{one}__in": held}) for one in pile.whose))
    return rows.exclude(kept), rows.filter(kept)


def _batches(one: Sweep, run: RetentionRun, *, clock: Clock, at: datetime) -> Iterator[int]:
    for pile in one.piles:
        free, _ = _parted(one, pile, at=at)
        after: UUID | None = None
        while pks := list(
            (free.filter(pk__gt=after) if after else free)
            .order_by("pk")
            .values_list("pk", flat=True)[:BATCH]
        ):
            mine = run.lease_until
            try:
                gone = _batch(one, pile, run, free.filter(pk__in=pks), lease=clock() + LEASE, at=at)
            except DatabaseError:  # maybe only at the COMMIT
                run.lease_until = mine
                raise
            yield gone
            after = pks[-1]


@transaction.atomic
def _batch(
    one: Sweep,
    pile: Pile,
    run: RetentionRun,
    free: QuerySet[Any],
    *,
    lease: datetime,
    at: datetime,
) -> int:
    """Take these rows, as far as they are still due, and say so; all of it or nothing."""
    # As whoever places a hold does, and before the rows are asked for: a hold that stands by then
    # is seen, one that comes later waits for this batch.
    whose = {pk for pks in free.values_list(*pile.whose) for pk in pks} if pile.whose else set()
    list(Patient.objects.select_for_update().filter(pk__in=whose).order_by("pk"))
    rows = list(free.order_by("pk").select_for_update(of=("self",)))
    if not rows:
        return 0
    listed: dict[str, Any] = {}
    if pile.take is None:
        model: Any = free.model
        pks = [row.pk for row in rows]
        if coverage.is_covered(model):
            listed = {"table": model._meta.label_lower, "rows": pks}
        gone = len(rows)
        # Also what is written once and refuses its own manager: here its time is over.
        QuerySet(model).filter(pk__in=pks).delete()
    else:
        gone = pile.take(rows, at)
    count = run.counts[one.category]
    count["gone"] += gone
    if gone:
        record(
            Action.RETENTION_SWEEP,
            by=SYSTEM,
            on=run,
            at=at,
            category=one.category,
            count=gone,
            held=count["held"],
            run=run.pk,
            **listed,
        )
    _keep(run, lease=lease)
    return gone


def _keep(run: RetentionRun, *, lease: datetime | None) -> None:
    """
    Write how far it is, and make the lease anew.

    :raises LeaseLost: it is another process's by now
    """
    mine = RetentionRun.objects.filter(pk=run.pk, state=State.RUNNING, lease_until=run.lease_until)
    written: dict[str, Any] = {
        "lease_until": lease,
        "counts": run.counts,
        "state": run.state,
        "finished_at": run.finished_at,
    }
    if not mine.update(**written):
        raise LeaseLost
    run.lease_until = lease
