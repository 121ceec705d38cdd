"""Somebody was seen, and what they then said on WeChat's screen."""

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from faceauth.models import FaceSession, Merchant, WrongState
from hospital.audit.actions import Action
from hospital.audit.recording import Actor, HasActor, record
from hospital.errors import Refusal
from hospital.patients.attendance import attend
from hospital.patients.models import Patient, WechatAccount

State = FaceSession.State

GRANTED = "SUCCESS"  # getWxpayAuth's return_code
CANCELLED = "USER_CANCEL"


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
    if session.state not in {State.OPENED, State.SEEN}:
        raise WrongState
    if not face_sid:
        raise FaceSidNeeded
    if session.state == State.SEEN and session.saw(face_sid):
        return
    keep(session, face_sid=face_sid, at=at)


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
    match after:
        case State.AUTHORIZED:
            session.authorize(at=at)
            record(Action.SESSION_AUTHORIZE, by=terminal, on=session, at=at)
        case State.DECLINED:
            session.end(after, at=at)
            record(Action.SESSION_DECLINE, by=terminal, on=session, at=at)
        case _:
            if session.state != State.SEEN:
                raise WrongState
            session.end(after, at=at, reason="authorization_failed")
            record(
                Action.SESSION_FAIL,
                by=terminal,
                on=session,
                at=at,
                outcome="failed",
                code="authorization_failed",
            )


@transaction.atomic
def keep(
    session: FaceSession, *, face_sid: str, presumed: Patient | None = None, at: datetime
) -> None:
    """
    Keep what WeChat can be asked about, once.

    :raises FaceSidUsed: in another session
    :raises WrongState: somebody was seen already
    """
    try:
        with transaction.atomic():
            session.see(face_sid=face_sid, presumed=presumed)
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

    :raises WrongState: somebody was seen already, or another worker was faster
    """
    attend(patient, campus=session.terminal.store.campus, at=at)
    session.recognise(patient, at=at)
    record(
        Action.SESSION_RECOGNISE,
        by=by,
        on=session,
        at=at,
        patient=str(patient.pk),
        known_by=known_by,
        **facts,
    )


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
