"""
疑似重复: two records that may be of one person, found by the system and judged by a person.

Linking says that they are; it moves nothing and removes nothing, so unlinking loses nothing.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from hospital import labels, statements
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import Actor, HasActor, record
from hospital.errors import Refusal
from hospital.patients.models import Attendance, Likeness, Patient, PatientQuerySet
from hospital.patients.restriction import demand_unrestricted

State = Likeness.State

# From where each decision may be reached, and how the trail calls it.
_MOVES: Final[dict[Action, tuple[frozenset[State], State]]] = {
    Action.LIKENESS_LINK: (frozenset({State.OPEN, State.APART}), State.LINKED),
    Action.LIKENESS_UNLINK: (frozenset({State.LINKED}), State.OPEN),
    Action.LIKENESS_APART: (frozenset({State.OPEN}), State.APART),
}


class Decided(Refusal):
    """Somebody else was faster."""

    code = "likeness_decided"
    message = "同事刚刚处理过这一条，请看最新状态"


def alike(name: str, *, born: date | None) -> PatientQuerySet:
    """Return who has the same name and birth date; nobody where one of them is not known."""
    if not name or born is None:
        return Patient.objects.none()
    return Patient.objects.named(name, born=born)


def wait_turn(name: str, *, born: date | None) -> None:
    """
    Wait for whoever makes a patient of this name and birth date, until their transaction ends.

    Two desks in the same second would otherwise each see nobody alike, and the pair be lost. In
    a transaction that writes on SQLite one is alone anyway.
    """
    if connection.vendor != "postgresql" or not name or born is None:
        return
    index = Patient.by_name_and_birth
    digest = index.digest(index.keys().active, [name, born.isoformat()])
    number = int.from_bytes(bytes.fromhex(digest), signed=True)  # its 64 bits tell nobody's name
    with statements.lasting_cursor(connections[DEFAULT_DB_ALIAS]) as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def find(patient: Patient, *, by: HasActor | Actor, at: datetime) -> list[Likeness]:
    """Note everybody of the same name and birth date as `patient`, who is new or has changed."""
    others = alike(patient.real_name or "", born=patient.born).exclude(pk=patient.pk)
    kind = Likeness.Kind.EXACT
    return [note(patient, other, kind=kind, by=by, at=at) for other in others]


@transaction.atomic
def note(
    one: Patient, other: Patient, *, kind: Likeness.Kind, by: HasActor | Actor, at: datetime
) -> Likeness:
    """Return the pair as it stands; what a person decided of it before stays decided."""
    first, second = sorted((one, other), key=lambda patient: patient.pk)
    likeness, is_new = Likeness.objects.get_or_create(
        first=first, second=second, defaults={"kind": kind, "found_at": at}
    )
    if is_new:
        _record(Action.LIKENESS_FIND, likeness, by=by, at=at, kind=kind.value)
    return likeness


def link(likeness: Likeness, *, by: HasActor, at: datetime) -> None:
    """
    Say that both records are of one person.

    :raises Decided: they are linked already
    :raises Restricted: nothing may be done with one of them
    """
    _decide(Action.LIKENESS_LINK, likeness, by=by, at=at)


def unlink(likeness: Likeness, *, by: HasActor, at: datetime) -> None:
    """
    Take that back: the pair waits for a decision again.

    :raises Decided: they are not linked (any more)
    :raises Restricted: nothing may be done with one of them
    """
    _decide(Action.LIKENESS_UNLINK, likeness, by=by, at=at)


def apart(likeness: Likeness, *, by: HasActor, at: datetime) -> None:
    """
    Say that they are two people of one name.

    :raises Decided: somebody else has decided
    :raises Restricted: nothing may be done with one of them
    """
    _decide(Action.LIKENESS_APART, likeness, by=by, at=at)


def seen_by(staff: Staff) -> QuerySet[Likeness]:
    """
    Return the pairs of which at least one is known at this member of staff's campus.

    :raises NotCleared: they are not cleared for patients at all
    """
    labels.demand(staff, "patients.patient")
    if not staff.campus:
        return Likeness.objects.none()
    first, second = (
        Exists(Attendance.objects.filter(patient=OuterRef(one), campus=staff.campus))
        for one in ("first", "second")
    )
    return Likeness.objects.filter(first | second).select_related("first", "second")


def of(patient: Patient) -> QuerySet[Likeness]:
    """Return the pairs a patient is half of."""
    halves = Likeness.objects.filter(Q(first=patient) | Q(second=patient))
    return halves.select_related("first", "second")


def linked(patient: UUID) -> set[UUID]:
    """Return the other records that are of the same person, as people have judged."""
    found = ahead = {patient}
    while ahead:
        pairs = Likeness.objects.filter(
            Q(first__in=ahead) | Q(second__in=ahead), state=State.LINKED
        )
        halves = {one for pair in pairs.values_list("first", "second") for one in pair}
        ahead = halves - found
        found = found | ahead
    return found - {patient}


@transaction.atomic
def _decide(action: Action, likeness: Likeness, *, by: HasActor, at: datetime) -> None:
    sources, target = _MOVES[action]
    for patient in (likeness.first, likeness.second):
        demand_unrestricted(patient)
    here = Likeness.objects.filter(pk=likeness.pk, state__in=sources)
    if not here.update(state=target, decided_by=by.actor.id, decided_at=at):
        raise Decided
    likeness.refresh_from_db(fields=["state", "decided_by", "decided_at"])
    _record(action, likeness, by=by, at=at)


def _record(
    action: Action, likeness: Likeness, *, by: HasActor | Actor, at: datetime, **facts: Any
) -> None:
    both: Sequence[object] = (likeness.first_id, likeness.second_id)
    record(action, by=by, on=likeness, at=at, patients=both, **facts)
