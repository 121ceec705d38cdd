"""
Whose records an incident is about: somebody asks, and a worker reads the trail for it.

In chunks, each done or not: killed anywhere, the next turn reads on where the last chunk ended.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from hospital.accounts.models import Staff
from hospital.audit import reading
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.audit.times import micros
from hospital.errors import Refusal
from hospital.privacy.incidents import hands
from hospital.privacy.incidents.classifying import Closed
from hospital.privacy.incidents.hands import Place, Question
from hospital.privacy.models import Affected, Incident, Inquiry

LEASE: Final = timedelta(minutes=2)  # longer than a chunk takes
_AT_ONCE: Final = 500  # rows in one statement

Clock = Callable[[], datetime]


class NoWindow(Refusal):
    code = "incident_no_window"
    message = "起始时间须早于终止时间"


@transaction.atomic
def ask(incident: Incident, question: Question, *, by: Staff, at: datetime) -> Inquiry:
    """
    Have found whose records it is about; that takes the place of what an earlier question found.

    :raises NoWindow, Closed:
    """
    if question.since >= question.until:
        raise NoWindow
    known = Incident.objects.select_for_update().get(pk=incident.pk)
    if known.state == Incident.State.CLOSED:
        raise Closed
    known.affected = None
    known.save(update_fields=["affected"])
    Inquiry.objects.filter(incident=known).delete()  # whoever reads for it finds it gone
    inquiry = Inquiry.objects.create(
        incident=known,
        since=question.since,
        until=question.until,
        actor=question.actor,
        actor_type=question.actor_type,
    )
    _record(known, question, by=by, at=at)
    incident.refresh_from_db()
    return inquiry


def due(*, at: datetime) -> list[UUID]:
    """Return the questions nobody is at work on."""
    return list(Inquiry.objects.due(at).order_by("pk").values_list("pk", flat=True))


def find(pk: UUID, *, clock: Clock) -> None:
    """Read the trail for a question to its end, unless somebody else does or it was replaced."""
    inquiry = Inquiry.objects.take(pk, at=clock(), until=clock() + LEASE)
    if inquiry is None:
        return
    question = question_of(inquiry)
    place = None if inquiry.reached_us is None else Place(inquiry.reached_us, inquiry.reached_id)
    with reading.any_text():
        if place is None:
            Affected.objects.filter(incident=inquiry.incident_id).delete()
        for chunk in hands.read(question, after=place):
            if not _keep(inquiry, chunk, until=clock() + LEASE):
                return
    _conclude(inquiry, question, at=clock())


def percent(inquiry: Inquiry) -> int:
    """Return how much of its time was read."""
    if inquiry.is_done:
        return 100
    question = question_of(inquiry)
    begun, end = micros(question.since), micros(hands.last_moment(question))
    return min(99, max(0, 100 * ((inquiry.reached_us or begun) - begun) // (end - begun)))


def question_of(inquiry: Inquiry) -> Question:
    return Question(inquiry.since, inquiry.until, inquiry.actor, inquiry.actor_type)


def page(incident: Incident, *, after: UUID | None = None, size: int) -> list[UUID]:
    """Return some of those it is about, in the order of their ids, behind `after`."""
    found = incident.found.filter(subject__gt=after) if after else incident.found.all()
    subjects = found.order_by("subject").values_list("subject", flat=True).distinct()
    return list(subjects[:size])


@transaction.atomic
def _keep(inquiry: Inquiry, chunk: hands.Chunk, *, until: datetime) -> bool:
    """Note what a chunk told; return whether the question is still ours."""
    reached = {"reached_us": chunk.place.at_us, "reached_id": chunk.place.id}
    if not Inquiry.objects.mine(inquiry).update(lease_until=until, **reached):
        return False
    inquiry.lease_until = until
    Affected.objects.bulk_create(
        (Affected(incident=inquiry.incident, subject=one, action=tag) for one, tag in chunk.found),
        batch_size=_AT_ONCE,
        ignore_conflicts=True,
    )
    return True


@transaction.atomic
def _conclude(inquiry: Inquiry, question: Question, *, at: datetime) -> None:
    known = Incident.objects.select_for_update().get(pk=inquiry.incident_id)
    if not Inquiry.objects.mine(inquiry).update(is_done=True, lease_until=None):
        return
    known.affected = known.found.values("subject").distinct().count()
    known.save(update_fields=["affected"])
    _record(known, question, by=SYSTEM, at=at, count=known.affected)


def _record(
    incident: Incident, question: Question, *, by: HasActor | Actor, at: datetime, **facts: Any
) -> None:
    actor: dict[str, Any] = {question.actor_type: question.actor} if question.actor else {}
    record(
        Action.INCIDENT_QUERY,
        by=by,
        on=incident,
        at=at,
        start=_word(question.since),
        end=_word(question.until),
        **actor,
        **facts,
    )


def _word(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
