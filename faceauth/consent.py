"""Before the camera: what was said to the patient, and what the patient said."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from devices.models import Terminal
from faceauth.models import Consent, FaceSession, Merchant, Notice
from hospital.audit.actions import Action
from hospital.audit.recording import Actor, HasActor, record
from hospital.errors import Refusal


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


def notice_in_force(*, at: datetime) -> Notice:
    """:raises NoNotice: without one, no face is asked for."""
    notice = Notice.objects.in_force(at)
    if notice is None:
        raise NoNotice
    return notice


@transaction.atomic
def enforce(notice: Notice, *, by: HasActor | Actor, at: datetime) -> None:
    """:raises AlreadyInForce:"""
    if not Notice.objects.filter(pk=notice.pk, in_force_from=None).update(in_force_from=at):
        raise AlreadyInForce
    record(
        Action.NOTICE_ENFORCE,
        by=by,
        on=notice,
        at=at,
        version=notice.version,
        digest=notice.digest,
    )


@transaction.atomic
def open_session(
    terminal: Terminal,
    *,
    notice_version: int,
    granted: bool,
    purposes: Collection[str],
    kind: str = FaceSession.Kind.FACE_AUTH,
    at: datetime,
) -> FaceSession:
    """
    Note the patient's answer to the notice, and open a session on it.

    A refusal is noted as well; its session is over at once and nobody is looked at.

    :raises NoNotice, NoticeOutdated, PurposesIncomplete, UnknownPurpose:
    :raises NotConfigured: there is no merchant to ask WeChat as
    """
    notice = notice_in_force(at=at)
    if notice.version != notice_version:
        raise NoticeOutdated
    agreed = set(purposes) if granted else set()
    if agreed - {purpose["code"] for purpose in notice.purposes}:
        raise UnknownPurpose
    if granted and {p["code"] for p in notice.purposes if p["required"]} - agreed:
        raise PurposesIncomplete
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
    )
    return session
