"""
After a restore: forget again who was forgotten since the backup was made.

The ledger says who; no hold is asked and nothing cools down, since it was decided and done before.
Killed at any moment, the next run goes on: a line counts as known here only when it is done.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto import keyring
from hospital.privacy import subjects
from hospital.privacy.erasing import deciding, running, standing, verifying
from hospital.privacy.erasing.ledger import Line
from hospital.privacy.erasing.running import Verify
from hospital.privacy.models import Erasure

State = Erasure.State

_AT_ONCE: Final = 100  # examined by one process


class StillLegible(Exception):
    """Something of these can be read, although all was done: somebody has to look."""

    def __init__(self, erasures: set[UUID]) -> None:
        super().__init__(f"{len(erasures)} erasures")
        self.erasures = erasures


@dataclass(frozen=True)
class Outstanding:
    """
    :param lines: those to do again, in their order
    :param keys: how many keys are alive that were destroyed
    """

    lines: list[Line]
    keys: int


def outstanding() -> Outstanding:
    """
    Return what is to be done again: lines this database does not know, and keys that are back.

    :raises LedgerLost, LedgerForged, LedgerUnreadable:
    """
    found = standing.examined()
    beyond = found[standing.mark().place :]
    unknown = set() if standing.written_here(beyond) else {line.entry.erasure for line in beyond}
    done = {line.entry.erasure for line in found} - {line.entry.erasure for line in beyond}
    back = keyring.alive(
        key for line in found for key in line.entry.keys if line.entry.erasure in done
    )
    lines = [
        line
        for line in found
        if line.entry.erasure in unknown or not back.isdisjoint(line.entry.keys)
    ]
    return Outstanding(lines, len(back))


def replay(*, verify: Verify = verifying.by_a_cold_process, at: datetime) -> Iterator[Line]:
    """
    Do it all again; yield each line when it is done and examined.

    :raises LedgerLost, LedgerForged, LedgerUnreadable:
    :raises StillLegible: and those before it are done
    :raises NotVerified, KeyUnavailable, OSError: run it again
    """
    todo = outstanding().lines
    for start in range(0, len(todo), _AT_ONCE):
        some = todo[start : start + _AT_ONCE]
        again = [_forgotten(line, at=at) for line in some]
        if left := verify([erasure.pk for erasure in again]):
            raise StillLegible(left)
        _conclude(some, again, at=at)
        yield from some
    standing.forget()


def _forgotten(line: Line, *, at: datetime) -> Erasure:
    """Take every step but the last: nobody is served meanwhile, so nothing is waited for."""
    erasure = _erasure(line, at=at)
    subjects.before_keys(line.entry.subject)
    for key in line.entry.keys:  # also of one that is done: its keys may be back
        keyring.destroy(key, at=at)
    while erasure.state in {State.BEGUN, State.KEYS, State.ROWS}:
        running.step(erasure, at=at)
        erasure.refresh_from_db()
    return erasure


@transaction.atomic
def _erasure(line: Line, *, at: datetime) -> Erasure:
    """Return the row that stands for this line; as decided and begun, whatever the backup says."""
    entry, place = line.entry, line.mark.place
    known = Erasure.objects.filter(pk=entry.erasure).exclude(state=State.CANCELLED)
    erasure = known.first() or deciding.standing(entry.subject)
    keys = [str(key) for key in entry.keys]
    if erasure is None:
        erasure = Erasure.objects.create(
            id=entry.erasure,
            subject=entry.subject,
            cause=Erasure.Cause.REPLAY,
            decided_at=entry.at,
            due_at=at,
        )
        record(
            Action.ERASURE_DECIDE,
            by=SYSTEM,
            on=erasure,
            at=at,
            patient=entry.subject,
            cause=erasure.cause,
            hours=0,
        )
    begun = {"state": State.BEGUN, "began_at": entry.at, "keys": keys, "ledger_place": place}
    here = Erasure.objects.filter(pk=erasure.pk)
    if here.filter(state=State.COOLING).update(**begun):
        running.say(erasure, State.BEGUN, count=len(keys), at=at)
    here.filter(ledger_place=None).update(ledger_place=place)
    erasure.refresh_from_db()
    return erasure


@transaction.atomic
def _conclude(some: Sequence[Line], again: Sequence[Erasure], *, at: datetime) -> None:
    for erasure in again:
        running.conclude(erasure, legible=(), at=at)
    last = max((line.mark for line in some), key=lambda mark: mark.place)
    if last.place > standing.mark().place:
        standing.move(last)
    record(Action.ERASURE_REPLAY, by=SYSTEM, on=None, at=at, count=len(some), place=last.place)
