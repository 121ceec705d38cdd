"""
One erasure, step by step: killed between any two statements, the next run goes on.

Each step is one transaction, or an act outside the database that changes nothing when it is done
twice; then a compare-and-set and one event say that it is done. The ledger comes before the first
key: what was destroyed is on it, whatever happens to the database.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto import keyring
from hospital.patients.models import Patient
from hospital.privacy import subjects
from hospital.privacy.erasing import deciding, ledger, standing, verifying
from hospital.privacy.erasing.ledger import Entry
from hospital.privacy.holding import Held
from hospital.privacy.models import Erasure, LedgerMark

State = Erasure.State

# Given ids, return those of whom something can still be read: by a process that held no key.
Verify = Callable[[Collection[UUID]], set[UUID]]

LEGIBLE: Final = "legible"
_AT_ONCE: Final = 100
_AGAIN: Final = timedelta(minutes=10)
_ENDED: Final = (State.DONE, State.CANCELLED)


def due(*, at: datetime) -> list[UUID]:
    """Return the erasures with a step to be taken now, those that wait longest first."""
    waiting = Erasure.objects.filter(due_at__lte=at).exclude(state__in=[*_ENDED, State.TRACES])
    return list(waiting.order_by("due_at").values_list("pk", flat=True)[:_AT_ONCE])


def advance(pk: UUID, *, at: datetime) -> None:
    """
    Take every step that is due, but the last; of two that do so, each step is taken once.

    :raises Unreplayed: the database is from a backup: nothing goes on before that is settled
    :raises KeyUnavailable, OSError: nothing of this step has changed, or it may be taken again
    """
    standing.demand_replayed()
    while True:
        erasure = Erasure.objects.get(pk=pk)
        before = (erasure.state, erasure.ledger_place)
        if erasure.due_at <= at:
            step(erasure, at=at)
        erasure.refresh_from_db()
        if (erasure.state, erasure.ledger_place) == before:
            return


def conclude_due(*, verify: Verify = verifying.by_a_cold_process, at: datetime) -> int:
    """
    End those of whom nothing is left, as one process finds that held no key; return how many.

    :raises NotVerified: it came to no answer, and nothing has changed
    """
    gone = Erasure.objects.filter(state=State.TRACES, due_at__lte=at).order_by("due_at")
    erasures = list(gone[:_AT_ONCE])
    if not erasures:
        return 0
    legible = verify([erasure.pk for erasure in erasures])
    for erasure in erasures:
        conclude(erasure, legible=legible, at=at)
    return len(erasures) - len(legible)


def step(erasure: Erasure, *, at: datetime) -> None:
    """Take the step after the state this erasure is in, if nobody else has."""
    match State(erasure.state):
        case State.COOLING:
            begin(erasure, at=at)
        case State.BEGUN if erasure.ledger_place is None:
            write_down(erasure, at=at)
        case State.BEGUN:
            destroy_keys(erasure, at=at)
        case State.KEYS:
            clear_rows(erasure, at=at)
        case State.ROWS:
            clear_traces(erasure, at=at)


@transaction.atomic
def begin(erasure: Erasure, *, at: datetime) -> None:
    """
    From here nothing stops it.

    A hold placed meanwhile does, once and for all; so does a visit where only time had run out.
    """
    try:
        deciding.demand_erasable(erasure.subject, at=at)
        if erasure.cause == Erasure.Cause.RETENTION:
            deciding.demand_unvisited(erasure.subject, at=at)
    except (Held, deciding.Visited) as exc:
        with suppress(deciding.TooLate):  # somebody was faster
            deciding.stop(erasure.pk, by=SYSTEM, code=exc.code, at=at)
        return
    keys = [str(key) for key in subjects.keys_of(erasure.subject)]
    cooling = Erasure.objects.filter(pk=erasure.pk, state=State.COOLING, due_at__lte=at)
    if cooling.update(state=State.BEGUN, began_at=at, keys=keys):
        say(erasure, State.BEGUN, count=len(keys), at=at)


@transaction.atomic
def write_down(erasure: Erasure, *, at: datetime) -> None:
    """
    Add it to the ledger, once: a line that is there already, and not known here yet, is its own.

    :raises Unreplayed: a line is there that this database knows nothing of
    """
    # Whoever writes to the ledger holds this row.
    LedgerMark.objects.get_or_create(pk=1)
    LedgerMark.objects.select_for_update().get(pk=1)
    known = standing.mark()
    beyond = standing.lines(after=known)
    if not standing.written_here(beyond):
        raise standing.Unreplayed
    if erasure.pk not in {line.entry.erasure for line in beyond}:
        mine = Erasure.objects.filter(pk=erasure.pk, state=State.BEGUN, ledger_place=None)
        if not mine.exists():
            return
        entry = Entry(erasure.pk, erasure.subject, tuple(map(UUID, erasure.keys)), at)
        end = beyond[-1].mark if beyond else known
        beyond.append(ledger.append(standing.store(), entry, key=standing.key(), after=end))
    for line in beyond:
        Erasure.objects.filter(pk=line.entry.erasure).update(ledger_place=line.mark.place)
    standing.move(beyond[-1].mark)


def destroy_keys(erasure: Erasure, *, at: datetime) -> None:
    """Everything sealed for them is unreadable now, wherever a copy of it lies."""
    subjects.before_keys(erasure.subject)
    # The key tables may be on another database, with a transaction of their own. Before the event:
    # what is said to be destroyed is.
    count = sum(keyring.destroy(UUID(key), at=at) for key in erasure.keys)
    with transaction.atomic():
        if _move(erasure, State.BEGUN, State.KEYS):
            say(erasure, State.KEYS, count=count, at=at)


@transaction.atomic
def clear_rows(erasure: Erasure, *, at: datetime) -> None:
    """Nobody is found by an index any more; then wait for who still holds a key, or a row."""
    if not _move(erasure, State.KEYS, State.ROWS, due_at=at + _forgotten_after()):
        return
    taken = _cleared(erasure.subject, at=at)
    Erasure.objects.filter(pk=erasure.pk).update(touched=taken)
    say(erasure, State.ROWS, count=sum(taken.values()), at=at)


@transaction.atomic
def clear_traces(erasure: Erasure, *, at: datetime) -> None:
    """
    Take the rows once more.

    Who had read one while the key was still remembered may have saved it again, index and all; by
    now nobody remembers it.
    """
    if not _move(erasure, State.ROWS, State.TRACES):
        return
    again = _cleared(erasure.subject, at=at)
    before = Erasure.objects.values_list("touched", flat=True).get(pk=erasure.pk)
    taken = {name: before.get(name, 0) + again[name] for name in again}
    Erasure.objects.filter(pk=erasure.pk).update(touched=taken)
    say(erasure, State.TRACES, count=sum(again.values()), at=at)


@transaction.atomic
def conclude(erasure: Erasure, *, legible: Collection[UUID], at: datetime) -> None:
    """
    End it, if a process that never held a key could read nothing.

    Where something was read, all is gone through once more after a while, until nothing is.
    """
    if erasure.pk not in legible:
        if _move(erasure, State.TRACES, State.DONE, done_at=at, fault=""):
            say(erasure, State.DONE, count=0, at=at)
        return
    here = Erasure.objects.filter(pk=erasure.pk, state=State.TRACES)
    if here.filter(fault="").update(fault=LEGIBLE):  # said once
        say(erasure, State.DONE, count=0, at=at, outcome="failed")
    if here.update(state=State.BEGUN, due_at=at + _AGAIN):
        say(erasure, State.BEGUN, count=0, at=at)


def say(erasure: Erasure, state: State, *, count: int, at: datetime, outcome: str = "") -> None:
    """Record a step on the patient, whose record may not be in this database at all."""
    record(
        Action.ERASURE_STEP,
        by=SYSTEM,
        on=Patient(pk=erasure.subject),
        at=at,
        outcome="failed" if outcome else "success",
        erasure=erasure.pk,
        step=state.value,
        count=count,
    )


def _move(erasure: Erasure, here: State, to: State, **fields: object) -> bool:
    mine = Erasure.objects.filter(pk=erasure.pk, state=here)
    return bool(mine.update(state=to, **fields))


def _cleared(subject: UUID, *, at: datetime) -> dict[str, int]:
    return {place.name: place.erase(subject, at) for place in subjects.places()}


def _forgotten_after() -> timedelta:
    """Return how long a process may remember a key, and still be at what it began with it."""
    return timedelta(seconds=settings.KEY_CACHE_SECONDS + settings.IN_HAND_SECONDS)
