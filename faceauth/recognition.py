"""A known patient is recognised by their WeChat account; nobody's name is asked for."""

from datetime import datetime
from typing import Any

from django.db import transaction

from faceauth import consent, guardianship, sighting, wechat
from faceauth.models import FaceSession, WrongState
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.patients import recognition
from hospital.patients.models import Patient
from hospital.patients.restriction import Restricted

State = FaceSession.State


@transaction.atomic
def see(session: FaceSession, *, token: str, openids: dict[str, str], at: datetime) -> None:
    """
    Note what getWxpayfaceUserInfo returned.

    Whoever an openid leads to is recognised at once, unless a `token` can still teach us
    their union id; with it WeChat is asked, by the worker. The same sighting again changes
    nothing.

    :param openids: appid → openid, as the terminal's SDK returned them
    :raises FaceSidNeeded: neither an openid nor a token
    :raises FaceSidUsed: the token, in another session
    :raises WrongState: the session is past this point
    """
    known = sighting.patient_known_as(openids)
    if _took_effect(session, token=token, known=known):
        return
    if session.state != State.OPENED:
        raise WrongState
    if not (token or openids):
        raise sighting.FaceSidNeeded
    if known is not None and not (token and _is_worth_asking(known)):
        sighting.recognise(session, known, by=session.terminal, at=at)
    elif token:
        sighting.keep(session, face_sid=token, presumed=known, at=at)
        session.authorize(at=at)  # no screen of WeChat's follows in this kind
    else:
        _leave(session, by=session.terminal, at=at)


@transaction.atomic
def settle(session: FaceSession, membership: wechat.Membership, *, at: datetime) -> None:
    """
    End a session with what WeChat's verified answer to its token says.

    :raises WrongState: the session ended meanwhile
    :raises NotInForce: what it stands on was taken back
    :raises NeedsGuardian: it is a child, of whom nothing new is kept
    """
    consent.demand_in_force(session)
    merchant = session.merchant
    assert merchant is not None  # noqa: S101 (a session that asks WeChat has one)
    accounts = sighting.openids_of(
        merchant, openid=membership.openid, sub_openid=membership.sub_openid or ""
    )
    try:
        found = recognition.recognise(
            membership.union_id, accounts=accounts, presumed=session.patient, at=at
        )
    except Restricted as exc:
        sighting.leave_to_desk(session, exc.code, by=SYSTEM, at=at)
        return
    except recognition.AccountDiffers:
        session.end(State.FAILED, at=at, reason="account_differs")
        record(
            Action.SESSION_ACCOUNT_DIFFERS,
            by=SYSTEM,
            on=session,
            at=at,
            outcome="failed",
            wechat_request_id=session.wechat_request_id,
        )
        return
    if found is None:
        _leave(session, by=SYSTEM, at=at)
    elif guardianship.is_missing(found.patient, at=at):
        raise guardianship.NeedsGuardian
    else:
        sighting.recognise(session, found.patient, by=SYSTEM, at=at, known_by=found.known_by)


@transaction.atomic
def settle_without(session: FaceSession, *, code: str, at: datetime, **stated: Any) -> None:
    """
    End a session WeChat said nothing usable about: the terminal's openid has to do.

    :param code: why there is no answer
    :param stated: what the trail states of the exchange
    :raises WrongState: the session ended meanwhile
    """
    if session.patient is None:
        _leave(session, by=SYSTEM, at=at, code=code, **stated)
    else:
        sighting.recognise(session, session.patient, by=SYSTEM, at=at, code=code, **stated)


def _took_effect(session: FaceSession, *, token: str, known: Patient | None) -> bool:
    if known is not None and session.state == State.RECOGNISED:
        return session.patient == known
    if token:
        return session.saw(token)
    return session.state == State.UNRECOGNISED and session.face_sid_index is None


def _is_worth_asking(patient: Patient) -> bool:
    return not patient.wechat_unions.exists()


def _leave(session: FaceSession, *, by: HasActor | Actor, at: datetime, **facts: Any) -> None:
    session.end(State.UNRECOGNISED, at=at)
    record(Action.SESSION_UNRECOGNISED, by=by, on=session, at=at, **facts)
