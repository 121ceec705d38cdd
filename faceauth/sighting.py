"""Somebody was seen, and what they then said on WeChat's screen."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction

from faceauth import consent, declining, guardianship
from faceauth.models import FaceSession, Merchant, WrongState
from hospital.audit.actions import Action
from hospital.audit.recording import Actor, HasActor, record
from hospital.errors import Refusal
from hospital.patients.attendance import attend, recognised
from hospital.patients.models import Patient, WechatAccount
from hospital.patients.restriction import Restricted

State = FaceSession.State

GRANTED = "SUCCESS"  # getWxpayAuth's return_code
CANCELLED = "USER_CANCEL"
REFUSED_RECENTLY: Final = "refused_recently"


class FaceSidNeeded(Refusal):
    code = "face_sid_required"
    message = "没有收到刷脸凭证，请重新刷脸"


class FaceSidUsed(Refusal):
    code = "face_sid_used"
    message = "该人脸凭证已使用过，请重新刷脸"


@transaction.atomic
def see(session: FaceSession, *, face_sid: str, openids: dict[str, str], at: datetime) -> None:
    """
    Note who stands there: a known patient, or a stranger to ask WeChat about.

    A stranger whose account said no lately is not asked again, unless they want it themselves.
    The same sighting again changes nothing.

    :param openids: appid → openid, as the terminal's SDK returned them
    :raises FaceSidNeeded: a stranger without a `face_sid` cannot be asked about
    :raises FaceSidUsed: in another session
    :raises WrongState: the session is past this point
    """
    known = patient_known_as(openids)
    if session.state == State.RECOGNISED and known == session.patient:
        return
    if session.state == State.OPENED and known is not None:
        recognise(session, known, by=session.terminal, at=at)
        return
    asked = declining.indexes(openids)
    if session.state == State.REFUSED and session.reason == REFUSED_RECENTLY:
        return
    is_asked_anew = session.state == State.OPENED and not session.on_request
    if is_asked_anew and declining.is_recent(asked, at=at):
        session.end(State.REFUSED, at=at, reason=REFUSED_RECENTLY)
        code = REFUSED_RECENTLY
        record(Action.SESSION_NOT_ASKED, by=session.terminal, on=session, at=at, code=code)
        return
    if session.state not in {State.OPENED, State.SEEN}:
        raise WrongState
    if not face_sid:
        raise FaceSidNeeded
    if session.state == State.SEEN and session.saw(face_sid):
        return
    keep(session, face_sid=face_sid, asked=asked, at=at)


@transaction.atomic
def answer(session: FaceSession, *, return_code: str, at: datetime) -> None:
    """
    Note what getWxpayAuth returned: authorized, declined, or an error.

    Saying the same again after it took effect changes nothing.

    :raises WrongState: nobody was seen, or the answer contradicts an earlier one
    """
    if session.kind != FaceSession.Kind.FACE_AUTH:  # no screen of WeChat's asked anybody
        raise WrongState
    terminal = session.terminal
    after = {GRANTED: State.AUTHORIZED, CANCELLED: State.DECLINED}.get(return_code, State.FAILED)
    if _already(session, after):
        return
    asked = session.openid_indexes  # each move from here forgets them
    match after:
        case State.AUTHORIZED:
            session.authorize(at=at)
            declining.forget(asked)
            record(Action.SESSION_AUTHORIZE, by=terminal, on=session, at=at)
        case State.DECLINED:
            session.end(after, at=at)
            declining.remember(asked, at=at)
            record(Action.SESSION_DECLINE, by=terminal, on=session, at=at)
        case _:
            if session.state != State.SEEN:
                raise WrongState
            leave_to_desk(session, "authorization_failed", by=terminal, at=at)


@transaction.atomic
def keep(
    session: FaceSession,
    *,
    face_sid: str,
    presumed: Patient | None = None,
    asked: Collection[str] = (),
    at: datetime,
) -> None:
    """
    Keep what WeChat can be asked about, once.

    :param asked: `declining.indexes` of whom its screen asks

    :raises FaceSidUsed: in another session
    :raises WrongState: somebody was seen already
    """
    try:
        with transaction.atomic():
            session.see(face_sid=face_sid, presumed=presumed, openid_indexes=asked)
    except IntegrityError:
        raise FaceSidUsed from None
    record(Action.SESSION_SEE, by=session.terminal, on=session, at=at)


@transaction.atomic
def recognise(
    session: FaceSession,
    patient: Patient,
    *,
    by: HasActor | Actor,
    at: datetime,
    known_by: str = "openid",
    **facts: Any,
) -> None:
    """
    End a session with somebody who is on record.

    Whose record is restricted the desk sees to, and a child for whom no guardian agreed.

    :raises WrongState: somebody was seen already, or another worker was faster
    :raises NotInForce: they took their consent back meanwhile
    """
    if patient.restricted_at is not None:
        leave_to_desk(session, Restricted.code, by=by, at=at)
        return
    if guardianship.is_missing(patient, at=at):
        session.end(State.GUARDIAN_REQUIRED, at=at)
        record(Action.SESSION_GUARDIAN, by=by, on=session, at=at)
        return
    agreed = consent.hold_in_force(session, patient)
    attend(patient, campus=session.terminal.store.campus, at=at)
    recognised(patient, at=at)
    session.recognise(patient, at=at)
    record(
        Action.SESSION_RECOGNISE,
        by=by,
        on=session,
        at=at,
        patient=str(patient.pk),
        consent=agreed.pk,
        known_by=known_by,
        **facts,
    )


@transaction.atomic
def leave_to_desk(
    session: FaceSession, code: str, *, by: HasActor | Actor, at: datetime, **facts: Any
) -> None:
    """
    End a session that failed for this reason.

    :raises WrongState: it ended already, or another worker was faster
    """
    session.end(State.FAILED, at=at, reason=code)
    record(Action.SESSION_FAIL, by=by, on=session, at=at, outcome="failed", code=code, **facts)


def patient_known_as(openids: dict[str, str]) -> Patient | None:
    """Return the patient a WeChat account belongs to, if one of these does."""
    for appid, openid in openids.items():
        found = WechatAccount.objects.with_openid(appid, openid).select_related("patient").first()
        if found:
            return found.patient
    return None


def openids_of(merchant: Merchant, *, openid: str, sub_openid: str) -> dict[str, str]:
    """Return appid → openid for those the SDK gave."""
    pairs = {merchant.appid: openid, merchant.sub_appid: sub_openid}
    return {appid: value for appid, value in pairs.items() if appid and value}


def _already(session: FaceSession, after: FaceSession.State) -> bool:
    if session.state == after:
        return True
    past_authorized = {State.ONBOARDED, State.GUARDIAN_REQUIRED, State.FAILED}
    return (
        after == State.AUTHORIZED
        and session.state in past_authorized
        and session.reason != "authorization_failed"
    )
