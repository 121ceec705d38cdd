"""撤回同意: as easy as granting it (个人信息保护法 第十五条)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Q, QuerySet

from faceauth.consent import NotInForce
from faceauth.models import LIFETIME, Consent, FaceSession, WrongState
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import Actor, HasActor, record
from hospital.patients import handing_off
from hospital.patients.models import Patient, WechatAccount, WechatUnion

State = FaceSession.State

WITHDRAWN: Final = NotInForce.code  # why a session ended, and why an account is not linked


@transaction.atomic
def withdraw(patient: Patient, *, by: HasActor | Actor, at: datetime) -> None:
    """
    Take back everything a patient agreed to; a second time, what was agreed to since.

    What they agreed to in a visit that does not know them yet is worth nothing either: that they
    took it back is on record also where nothing is known to stand. No WeChat account is known as
    theirs afterwards, and what still asks about them ends. The record itself stays: that somebody
    was here is kept on a basis of its own.
    """
    # First: it waits for whoever holds the patient, and they for us (`consent.hold_in_force`).
    Patient.objects.filter(pk=patient.pk).update(consent_withdrawn_at=at)
    standing = list(_granted(patient))
    _take_back(standing, patient, by=by, at=at)
    if not standing:
        record(Action.CONSENT_WITHDRAW, by=by, on=patient, at=at, patient=patient.pk)
    for session in _in_flight(patient):
        _end(session, patient, by=by, at=at)
    _unlink(patient, by=by, at=at)
    handing_off.stop(patient, code=WITHDRAWN, at=at)


@transaction.atomic
def withdraw_session(session: FaceSession, *, at: datetime) -> FaceSession:
    """
    Do what somebody before a terminal asks for, who just agreed there; return the session.

    Before its end that is the end of it, even while WeChat is asked: what comes is not read.
    Of whoever was recognised or enrolled everything is taken back. Asked again, nothing more is.

    :raises WrongState: it ended so long ago that nobody knows who stands there now
    """
    if session.finished_at is not None and session.finished_at < at - LIFETIME:
        raise WrongState
    try:
        with transaction.atomic():  # gives back what it holds: a patient comes before a consent
            return _end(session, by=session.terminal, at=at)
    except _Found as exc:
        withdraw(exc.patient, by=session.terminal, at=at)
    return _fresh().get(pk=session.pk)


class _Found(Exception):
    """The visit led to somebody."""

    def __init__(self, patient: Patient) -> None:
        super().__init__()
        self.patient = patient


def _granted(patient: Patient) -> QuerySet[Consent]:
    """Return what of theirs stands, the newest first; older rows are known by their visit only."""
    visits = FaceSession.objects.filter(patient=patient, state__in=FaceSession.WITH_PATIENT)
    theirs = Q(patient=patient.pk) | Q(pk__in=visits.values("consent"))
    standing = Consent.objects.filter(theirs, granted=True, withdrawn_at=None)
    return standing.select_for_update().order_by("-pk")


def _in_flight(patient: Patient) -> QuerySet[FaceSession]:
    """Return visits of who is theirs as far as the terminal can tell."""
    return FaceSession.objects.filter(patient=patient).exclude(state__in=FaceSession.FINAL)


def _end(
    session: FaceSession, whose: Patient | None = None, *, by: HasActor | Actor, at: datetime
) -> FaceSession:
    """
    Take back what a session stands on, and end it, if it has not ended meanwhile.

    :raises _Found: it has, with somebody
    """
    consent = Consent.objects.select_for_update().get(pk=session.consent_id)
    session = _fresh().select_for_update(of=("self",)).get(pk=session.pk)
    if found := session.found_patient:
        if consent.withdrawn_at is not None:
            return session
        raise _Found(found)
    if not session.is_final:
        session.end(State.REFUSED, at=at, reason=WITHDRAWN)
    if consent.granted and consent.withdrawn_at is None:
        _take_back([consent], whose, by=by, at=at, session=session.pk)
    return session


def _fresh() -> QuerySet[FaceSession]:
    return FaceSession.objects.select_related("terminal__store", "consent__notice", "patient")


def _take_back(
    consents: Iterable[Consent],
    patient: Patient | None,
    *,
    by: HasActor | Actor,
    at: datetime,
    **facts: Any,
) -> None:
    whose: dict[str, Any] = {"patient": patient.pk} if patient else {}
    staff = by.pk if isinstance(by, Staff) else None
    for consent in consents:
        Consent.objects.filter(pk=consent.pk).update(withdrawn_at=at, withdrawn_by=staff, **whose)
        record(
            Action.CONSENT_WITHDRAW,
            by=by,
            on=consent,
            at=at,
            purposes=set(consent.purposes),
            **whose,
            **facts,
        )


def _unlink(patient: Patient, *, by: HasActor | Actor, at: datetime) -> None:
    accounts = WechatAccount.objects.filter(patient=patient)
    unions = WechatUnion.objects.filter(patient=patient)
    count = accounts.delete()[0] + unions.delete()[0]
    if count:
        code = WITHDRAWN
        record(Action.PATIENT_UNLINK_WECHAT, by=by, on=patient, at=at, code=code, count=count)
