"""
Whose records somebody had in their hands within a window of time: asked of the trail.

Page by page along the time, so that a million events take no more memory than a thousand, and
whoever reads on after a while says where. Ids and actions; no name is looked at.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Q

from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.models import Event, EventQuerySet
from hospital.audit.times import micros
from hospital.patients.models import Patient, Registration

CHUNK: Final = 2_000  # events held at once
REMEMBERED: Final = 100_000  # of what was found a moment ago: it is not written again
_AT_ONCE: Final = 500  # ids in one question
_PATIENT: Final = "patients.patient"
_SESSION: Final = "faceauth.facesession"
_LATER: Final = timedelta(days=1)  # a visit that began at a terminal is over by then

# Facts by which an act on something else names the patients it was about.
_NAMING: Final = ("patient", "patients", "subjects")
# What names somebody and lays no hand on their record.
_NO_HAND: Final = frozenset({Action.PROPOSAL_ASK, Action.FINDING_RAISE, Action.INCIDENT_QUERY})
_ABOUT_PATIENTS: Final = sorted(
    action.value.tag
    for action in Action
    if not action.value.facts.keys().isdisjoint(_NAMING) and action not in _NO_HAND
)


@dataclass(frozen=True)
class Question:
    """
    Whose acts, and when.

    :param until: exclusive
    :param actor: an id; "" for everybody's acts
    :param actor_type: staff or terminal; "" for all of them
    """

    since: datetime
    until: datetime
    actor: str = ""
    actor_type: str = ""


class _Act(NamedTuple):
    at_us: int
    id: int
    action: str
    actor_id: str
    object_type: str
    object_id: str
    payload: str


class Place(NamedTuple):
    """Behind which event to read on."""

    at_us: int
    id: int


class Chunk(NamedTuple):
    """Patients and actions, and how far the trail was read for them."""

    found: set[tuple[UUID, str]]
    place: Place


def read(question: Question, *, after: Place | None = None) -> Iterator[Chunk]:
    """Yield patients and actions, as many as a chunk of events tells of."""
    sessions = _sessions(question) if question.actor_type == "terminal" else set()
    end = micros(question.until)
    lately: set[tuple[UUID, str]] = set()
    for acts in _chunks(_asked(question), after):
        told = {
            (one, act.action)
            for act in acts
            if _is_asked(act, question, sessions, end)
            for one in _named(act)
        } - lately
        if len(lately) > REMEMBERED:
            lately.clear()
        lately |= told
        patients = _patients({one for one, _ in told})
        found = {(patients[one], action) for one, action in told if one in patients}
        yield Chunk(found, Place(acts[-1].at_us, acts[-1].id))


def last_moment(question: Question) -> datetime:
    """Return up to when the trail is read."""
    return question.until + (_LATER if question.actor_type == "terminal" else timedelta())


def _asked(question: Question) -> EventQuerySet:
    events = Event.objects.filter(
        Q(action__in=_ABOUT_PATIENTS) | Q(object_type=_PATIENT),
        outcome="success",
        at_us__gte=micros(question.since),
    )
    # What began at a terminal a worker has finished.
    if question.actor and question.actor_type != "terminal":
        events = events.filter(actor_id=question.actor, actor_type=question.actor_type)
    return events.filter(at_us__lt=micros(last_moment(question)))


def _sessions(question: Question) -> set[str]:
    """Return the visits that a terminal had a part in."""
    events = Event.objects.filter(
        actor_id=question.actor,
        object_type=_SESSION,
        at_us__gte=micros(question.since),
        at_us__lt=micros(question.until),
    )
    return set(events.order_by().values_list("object_id", flat=True).distinct())


def _chunks(events: EventQuerySet, after: Place | None) -> Iterator[list[_Act]]:
    rows = events.order_by("at_us", "id").values_list(*_Act._fields)
    while acts := [_Act(*row) for row in rows.filter(_behind(after))[:CHUNK]]:
        yield acts
        after = Place(acts[-1].at_us, acts[-1].id)


def _behind(place: Place | None) -> Q:
    if place is None:
        return Q()
    # Said twice, so that the index on the time can be entered there.
    behind = Q(at_us__gt=place.at_us) | Q(id__gt=place.id)
    return Q(at_us__gte=place.at_us) & behind


def _is_asked(act: _Act, question: Question, sessions: set[str], end: int) -> bool:
    if question.actor_type != "terminal":
        return True
    if act.actor_id == question.actor and act.at_us < end:
        return True
    visit = act.object_id if act.object_type == _SESSION else _session(act.payload)
    return visit in sessions


def _session(payload: str) -> str:
    return str(stated.facts(payload).get("session", ""))


def _named(act: _Act) -> set[UUID]:
    """Return the ids an event names as patients: of one that was forged, whatever it says."""
    facts = stated.facts(act.payload)
    said: list[Any] = [act.object_id] if act.object_type == _PATIENT else []
    for name in _NAMING:
        value = facts.get(name)
        said += value if isinstance(value, list) else [value]
    return {pk for one in said if (pk := _id(one))}


def _patients(ids: set[UUID]) -> dict[UUID, UUID]:
    """Return whose record each of these is; of a form at the desk, what became of it."""
    found: dict[UUID, UUID] = {}
    for some in _parts(ids):
        found |= {pk: pk for pk in Patient.objects.filter(pk__in=some).values_list("pk", flat=True)}
    for some in _parts(ids - found.keys()):
        forms = Registration.objects.filter(pk__in=some, patient__isnull=False)
        found |= dict(forms.values_list("pk", "patient"))
    return found


def _parts(ids: Collection[UUID]) -> Iterator[list[UUID]]:
    listed = list(ids)
    for start in range(0, len(listed), _AT_ONCE):
        yield listed[start : start + _AT_ONCE]


def _id(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
