"""What needs a person at one campus now: each with what to do next, and where."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Count, QuerySet
from django.utils import timezone

from devices import conditions
from devices.conditions import Condition
from devices.models import Terminal
from faceauth import handling, reasons
from faceauth.models import FaceSession
from faceauth.models.session import FaceSessionQuerySet
from hospital.accounts.models import Staff
from hospital.desk import petitions
from hospital.patients import correcting, likenesses, registering
from hospital.patients.models import Correction, HandOff, Likeness, Patient, Registration
from hospital.privacy import rights
from hospital.privacy.models import RightsRequest
from hospital.roles import May

SHOWN: Final = 100  # of each kind: nobody reads further before some of it is done
COUNTED: Final = 1_000  # and nobody needs to know how many more
WAITING: Final = timedelta(hours=24)  # so long, whoever was left standing is looked after
STUCK: Final = timedelta(seconds=60)  # overdue: the sweeper comes by far more often

State = FaceSession.State


@dataclass(frozen=True)
class Visit:
    """A visit somebody has to see to; `is_free`: there is something they may do now."""

    session: FaceSession
    advice: str
    is_free: bool


@dataclass(frozen=True)
class Tally:
    """How today goes."""

    label: str
    count: int


def visits(staff: Staff, *, at: datetime) -> list[Visit]:
    """Return those that ended without a patient and that nobody has dealt with, newest first."""
    # By the index's own column: nothing else is read, however many visits there ever were.
    newest = _unsettled(staff, at=at).select_related("terminal").order_by("-opened_at")
    return _advised(newest[:SHOWN], staff=staff, at=at)


def retries(staff: Staff, *, at: datetime) -> list[Visit]:
    """Return those that wait for WeChat to be asked again."""
    waiting = FaceSession.objects.seen_by(staff).filter(
        state=State.AUTHORIZED, attempts__gt=0, due_at__gt=at
    )
    found = list(waiting.select_related("terminal").order_by("due_at")[:SHOWN])
    failures = reasons.latest_failures(found)
    # The others are being worked on at this moment.
    return [
        Visit(one, reasons.told(one, last), is_free=handling.is_due_again(last, at=at))
        for one in found
        if (last := failures.get(one.pk)) and handling.has_ended(one, last)
    ]


def stuck(staff: Staff, *, at: datetime) -> list[FaceSession]:
    """Return those that nobody came to ask WeChat about: no worker runs."""
    overdue = FaceSession.objects.seen_by(staff).due(at - STUCK)
    return list(overdue.select_related("terminal").order_by("due_at")[:SHOWN])


def registrations(staff: Staff) -> list[Registration]:
    """Return what colleagues entered and somebody else has to look at, newest first."""
    waiting = registering.seen_by(staff).filter(state=Registration.State.WAITING)
    return list(waiting.exclude(entered_by=staff.pk)[:SHOWN])


def pairs(staff: Staff) -> list[Likeness]:
    """Return who may be one person, newest first."""
    return list(likenesses.seen_by(staff).filter(state=Likeness.State.OPEN)[:SHOWN])


def here(staff: Staff, found: Iterable[Likeness]) -> set[UUID]:
    """Return who of these pairs is known at the campus of `staff`."""
    keys = [patient for one in found for patient in (one.first_id, one.second_id)]
    seen = Patient.objects.seen_by(staff).filter(pk__in=keys)
    return set(seen.values_list("pk", flat=True))


def corrections(staff: Staff) -> list[Correction]:
    """Return what others ask to correct, newest first."""
    asked = correcting.seen_by(staff).filter(state=Correction.State.ASKED)
    return list(asked.exclude(asked_by=staff.pk)[:SHOWN])


def handoffs(staff: Staff) -> list[HandOff]:
    """Return who has not reached the hospital's own system and takes somebody, newest first."""
    if not staff.may(May.HANDLE_HANDOFFS):
        return []
    dead = HandOff.objects.seen_by(staff).undelivered()
    return list(dead.select_related("patient")[:SHOWN])


def requests(staff: Staff) -> list[RightsRequest]:
    """Return what patients ask about their data and the desk has to see to, most urgent first."""
    if not staff.may(May.OPEN_RIGHTS):
        return []
    return [one for one in rights.waiting(staff)[:SHOWN] if petitions.is_for_desk(one)]


def tallies(staff: Staff, *, at: datetime) -> list[Tally]:
    """Return how many visits of today came to what, and how many wait like those of `visits`."""
    today = FaceSession.objects.seen_by(staff).filter(opened_at__gte=_midnight(at))
    counted = {
        row["state"]: (row["all"], row["settled"])
        for row in today.order_by()
        .values("state")
        .annotate(all=Count("pk"), settled=Count("settled_at"))
    }
    settled = sum(counted.get(state, (0, 0))[1] for state in FaceSession.FOR_THE_DESK)
    return [
        Tally("今日刷脸", sum(count for count, _ in counted.values())),
        *(
            Tally(str(state.label), counted.get(state, (0, 0))[0])
            for state in (State.ONBOARDED, State.RECOGNISED, State.AUTHORIZED)
        ),
        Tally("待人工办理", _unsettled(staff, at=at)[:COUNTED].count()),
        Tally("已人工办结", settled),
    ]


def terminals(staff: Staff, *, at: datetime) -> list[tuple[Terminal, list[Condition]]]:
    """Return this campus's terminals that are to work, and where each stands."""
    found = Terminal.objects.filter(store__campus=staff.campus, suspension=None)
    standing = found.select_related("suspension")
    return [(terminal, conditions.of(terminal, at=at)) for terminal in standing]


def _unsettled(staff: Staff, *, at: datetime) -> FaceSessionQuerySet:
    return FaceSession.objects.seen_by(staff).unsettled(since=at - WAITING)


def _advised(found: QuerySet[FaceSession], *, staff: Staff, at: datetime) -> list[Visit]:
    sessions = list(found)
    advice = reasons.for_staff_of(sessions)
    return [
        Visit(one, advice[one.pk], is_free=handling.is_free(one, by=staff, at=at))
        for one in sessions
    ]


def _midnight(at: datetime) -> datetime:
    return timezone.localtime(at).replace(hour=0, minute=0, second=0, microsecond=0)
