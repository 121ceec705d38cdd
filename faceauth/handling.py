"""What the desk does about a visit that did not end with a patient by itself."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Q, QuerySet

from faceauth.models import FaceSession
from hospital.accounts.models import Staff
from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.patients.models import Patient

IDLE: Final = timedelta(minutes=30)  # whoever took it that long ago may have gone home
PAUSE: Final = timedelta(seconds=10)  # between two attempts somebody asks for
# WeChat said how long to leave it alone: asking before that only makes it longer.
TOLD_TO_WAIT: Final = frozenset({"http_429", "signer_http_429"})

Settlement = FaceSession.Settlement
OF_A_PATIENT: Final = frozenset({Settlement.REGISTERED, Settlement.KNOWN})
# What somebody may say; 已人工建档 is said by registering a patient.
CLOSED_WITH: Final = tuple(one for one in Settlement if one != Settlement.REGISTERED)


class Elsewhere(Refusal):
    code = "session_elsewhere"
    message = "该会话不在本院区"


class NothingToRetry(Refusal):
    code = "nothing_to_retry"
    message = "没有可以重试的核验：正在进行，或已经结束"


class TooSoon(Refusal):
    code = "too_soon"
    message = "刚刚核验过，或微信要求稍候，请过几秒再试"


class NotForTheDesk(Refusal):
    code = "not_for_the_desk"
    message = "该会话不需要人工办理，或已经办结"


class TakenByAnother(Refusal):
    code = "taken_by_another"
    message = "同事已接手该会话"


class NotTaken(Refusal):
    code = "not_taken"
    message = "您没有接手该会话"


class PatientMissing(Refusal):
    code = "patient_missing"
    message = "请先选定患者，再按此结果办结"


class PatientNeedless(Refusal):
    code = "patient_needless"
    message = "按此结果办结的会话没有患者"


@transaction.atomic
def requeue(session: FaceSession, *, by: Staff, at: datetime) -> None:
    """
    Have WeChat asked now instead of when the wait is over; the caller wakes the worker.

    A worker that is asking at this moment keeps its lease: `face_sid` may work a single time.
    The attempt does not count: an impatient desk does not use up what the session has.

    :raises NothingToRetry: it does not wait for another attempt
    :raises TooSoon: the last one was less than `PAUSE` ago, or WeChat asked for patience
    :raises Elsewhere:
    """
    _demand_seen(session, by)
    last = _last_failure(session)
    if last is None or not _is_postponed(session, last, at=at):
        raise NothingToRetry
    if not is_due_again(last, at=at):
        raise TooSoon
    waits = FaceSession.objects.filter(
        pk=session.pk, state=FaceSession.State.AUTHORIZED, due_at=session.due_at
    )
    if not waits.filter(attempts=session.attempts).update(due_at=at, excused=F("excused") + 1):
        raise NothingToRetry
    session.refresh_from_db()
    record(Action.SESSION_REQUEUE, by=by, on=session, at=at)


@transaction.atomic
def take(session: FaceSession, *, by: Staff, at: datetime) -> None:
    """
    Let it be `by` who deals with it; whose it is already, it stays.

    :raises TakenByAnother: less than `IDLE` ago
    :raises NotForTheDesk: nobody has to deal with it (any more)
    :raises Elsewhere:
    """
    _demand_seen(session, by)
    free = _unsettled(session).filter(Q(taken_by=None) | Q(taken_at__lte=at - IDLE))
    taken = free.update(taken_by=by.pk, taken_at=at)
    session.refresh_from_db()
    if taken:
        record(Action.SESSION_TAKE, by=by, on=session, at=at)
    elif not is_unsettled(session):
        raise NotForTheDesk
    elif session.taken_by != by.pk:
        raise TakenByAnother


@transaction.atomic
def leave(session: FaceSession, *, by: Staff, at: datetime) -> None:
    """
    Give it back for somebody else to take.

    :raises NotTaken:
    :raises Elsewhere:
    """
    _demand_seen(session, by)
    if not _unsettled(session).filter(taken_by=by.pk).update(taken_by=None, taken_at=None):
        raise NotTaken
    session.refresh_from_db()
    record(Action.SESSION_LEAVE, by=by, on=session, at=at)


@transaction.atomic
def settle(
    session: FaceSession,
    settlement: Settlement,
    *,
    patient: Patient | None = None,
    by: Staff,
    at: datetime,
) -> None:
    """
    Say what became of it; it is taken as well where nobody had.

    :param patient: who it was; with `OF_A_PATIENT`, and only then
    :raises PatientMissing, PatientNeedless:
    :raises TakenByAnother, NotForTheDesk, Elsewhere: see `take`
    """
    demand_fits(settlement, has_patient=patient is not None)
    take(session, by=by, at=at)
    mine = _unsettled(session).filter(taken_by=by.pk)
    if not mine.update(settlement=settlement, settled_at=at, patient=patient):
        raise NotForTheDesk
    session.refresh_from_db()
    whose: dict[str, Any] = {"patient": patient.pk} if patient else {}
    record(Action.SESSION_SETTLE, by=by, on=session, at=at, settlement=settlement, **whose)


def demand_fits(settlement: Settlement, *, has_patient: bool) -> None:
    """:raises PatientMissing, PatientNeedless: this result goes with one, or with none"""
    if settlement in OF_A_PATIENT and not has_patient:
        raise PatientMissing
    if settlement not in OF_A_PATIENT and has_patient:
        raise PatientNeedless


def is_unsettled(session: FaceSession) -> bool:
    """Whether somebody has to deal with it."""
    return session.state in FaceSession.FOR_THE_DESK and session.settled_at is None


def is_free(session: FaceSession, *, by: Staff, at: datetime) -> bool:
    """Whether `by` could take it, or has."""
    if not is_unsettled(session):
        return False
    return (
        session.taken_by in {None, by.pk}
        or session.taken_at is None
        or session.taken_at <= at - IDLE
    )


def is_postponed(session: FaceSession, *, at: datetime) -> bool:
    """Whether it waits for its next attempt, and no worker is at it."""
    return _is_postponed(session, _last_failure(session), at=at)


def is_due_again(last: Event, *, at: datetime) -> bool:
    """Whether somebody may ask for another attempt after `last`, a failure."""
    return at >= last.at + PAUSE and stated.facts(last.payload).get("code") not in TOLD_TO_WAIT


def has_ended(session: FaceSession, last: Event | None) -> bool:
    """Whether the attempt the session is at is the one that `last`, a failure, is about."""
    return last is not None and stated.facts(last.payload).get("attempt") == session.attempts


def _is_postponed(session: FaceSession, last: Event | None, *, at: datetime) -> bool:
    if session.state != FaceSession.State.AUTHORIZED or not session.due_at:
        return False
    # A lease looks the same in the row; the trail knows that this attempt came to an end.
    return session.due_at > at and has_ended(session, last)


def _last_failure(session: FaceSession) -> Event | None:
    failures = Event.objects.on(session).filter(action=Action.WECHAT_RETRY.value.tag)
    return failures.order_by("-id").first()


def _demand_seen(session: FaceSession, by: Staff) -> None:
    # Asked apart from the compare-and-set: a join would let that one read a row's past.
    if not FaceSession.objects.seen_by(by).filter(pk=session.pk).exists():
        raise Elsewhere


def _unsettled(session: FaceSession) -> QuerySet[FaceSession]:
    return FaceSession.objects.filter(
        pk=session.pk, state__in=FaceSession.FOR_THE_DESK, settled_at=None
    )
