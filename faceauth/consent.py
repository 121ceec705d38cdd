"""Before the camera: what was said to the patient, and what the patient said; while it holds."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import transaction

from devices.another_way import demand_fallback
from devices.models import Terminal
from faceauth.models import Consent, FaceSession, Merchant, Notice
from hospital import statements
from hospital.audit.actions import Action
from hospital.audit.recording import Actor, HasActor, record
from hospital.errors import Refusal
from hospital.patients.models import Patient
from hospital.privacy import assessing


class NoNotice(Refusal):
    code = "no_notice"
    message = "没有生效的告知书，暂不能刷脸"


class NoticeOutdated(Refusal):
    """The terminal showed an older notice: what was agreed to is not what is in force."""

    code = "notice_outdated"
    message = "告知书已更新，请重新阅读"


class PurposesIncomplete(Refusal):
    code = "purposes_incomplete"
    message = "没有同意必要的处理目的，不能刷脸"


class UnknownPurpose(Refusal):
    code = "purpose_unknown"
    message = "告知书中没有这一处理目的"


class AlreadyInForce(Refusal):
    code = "already_in_force"
    message = "该告知书已经生效，不能修改；请起草新版本"


class NotInForce(Refusal):
    """It was taken back, or never given whole: nothing more happens on it."""

    code = "consent_withdrawn"
    message = "患者没有同意，或已撤回同意"


def notice_in_force(*, at: datetime) -> Notice:
    """:raises NoNotice: without one, no face is asked for."""
    notice = Notice.objects.in_force(at)
    if notice is None:
        raise NoNotice
    return notice


@transaction.atomic
def enforce(notice: Notice, *, by: HasActor | Actor, at: datetime, **facts: Any) -> None:
    """
    Have patients told this from now on.

    :param facts: what else the trail states of it
    :raises AlreadyInForce:
    """
    if not Notice.objects.filter(pk=notice.pk, in_force_from=None).update(in_force_from=at):
        raise AlreadyInForce
    record(
        Action.NOTICE_ENFORCE,
        by=by,
        on=notice,
        at=at,
        version=notice.version,
        digest=notice.digest,
        digest_sm3=notice.digest_sm3,
        **facts,
    )


@transaction.atomic
def open_session(
    terminal: Terminal,
    *,
    notice_version: int,
    granted: bool,
    purposes: Collection[str],
    kind: str = FaceSession.Kind.FACE_AUTH,
    on_request: bool = False,
    at: datetime,
) -> FaceSession:
    """
    Note the patient's answer to the notice, and open a session on it.

    A refusal is noted as well; its session is over at once and nobody is looked at.

    :param on_request: the patient asks for it themselves, though they said no lately
    :raises NoNotice, NoticeOutdated, PurposesIncomplete, UnknownPurpose:
    :raises NoFallback: there is nowhere to go for who says no
    :raises NotAssessed: nobody is to be asked for their face; a refusal is noted all the same
    :raises NotConfigured: there is no merchant to ask WeChat as
    """
    notice = notice_in_force(at=at)
    if notice.version != notice_version:
        raise NoticeOutdated
    if granted:
        assessing.demand_assessed(notice.purposes, at=at)
        demand_fallback(terminal.store)
    agreed = set(purposes) if granted else set()
    demand_complete(notice, agreed, granted=granted)
    consent = Consent.objects.create(
        notice=notice,
        notice_digest=notice.digest,
        granted=granted,
        purposes=sorted(agreed),
        terminal=terminal,
        at=at,
    )
    session = FaceSession.objects.create(
        terminal=terminal,
        merchant=Merchant.objects.current() if granted else None,
        consent=consent,
        kind=kind,
        on_request=on_request,
        state=FaceSession.State.OPENED if granted else FaceSession.State.REFUSED,
        opened_at=at,
        finished_at=None if granted else at,
    )
    record(
        Action.SESSION_OPEN if granted else Action.SESSION_REFUSE,
        by=terminal,
        on=session,
        at=at,
        kind=session.kind,
        notice_version=notice.version,
        notice_digest=notice.digest,
        purposes=agreed,
        consent=consent.pk,
        on_request=on_request,
    )
    return session


def demand_complete(notice: Notice, purposes: Collection[str], *, granted: bool = True) -> None:
    """:raises UnknownPurpose, PurposesIncomplete: each purpose is agreed to by itself"""
    if set(purposes) - notice.codes:
        raise UnknownPurpose
    if granted and notice.required_codes - set(purposes):
        raise PurposesIncomplete


def demand_in_force(session: FaceSession) -> None:
    """:raises NotInForce: WeChat is not asked"""
    demand_standing(Consent.objects.select_related("notice").get(pk=session.consent_id))


def demand_standing(consent: Consent) -> None:
    """:raises NotInForce: as of when it was read"""
    if not _stands(consent):
        raise NotInForce


def hold_in_force(session: FaceSession, patient: Patient, *, is_new: bool = False) -> Consent:
    """
    Return what a session stands on, known as `patient`'s, until this transaction ends.

    A withdrawal at the same moment waits for us, or else we saw it: either holds the patient
    first, then what was agreed to, then the session.

    :param is_new: this transaction made the patient, so nobody else can hold them
    :raises NotInForce: nobody is recognised, and nobody enrolled
    """
    withdrawn_at = None
    if not is_new:
        held = Patient.objects.select_for_update(no_key=True)
        withdrawn_at = held.values_list("consent_withdrawn_at", flat=True).get(pk=patient.pk)
    consent = session.consent
    if not _stands(consent) or (withdrawn_at and consent.at <= withdrawn_at):
        raise NotInForce
    # Whether it was taken back since it was read, the row itself says.
    as_read = {"id": consent.pk, "granted": True, "withdrawn_at": None}
    if not statements.change(Consent, {"patient": patient}, where=as_read):
        raise NotInForce
    return consent


def _stands(consent: Consent) -> bool:
    is_whole = consent.notice.required_codes <= set(consent.purposes)
    return consent.granted and is_whole and consent.withdrawn_at is None
