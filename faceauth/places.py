"""Where a patient's data lies among what the terminals brought."""

from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from devices.models import StoredAnswer
from faceauth import declining, sighting, telling
from faceauth.models import Consent, Declining, FaceSession
from hospital.audit.recording import SYSTEM
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.sealing import Unopenable
from hospital.patients.models import WechatAccount
from hospital.privacy import subjects
from hospital.privacy.subjects import Place, nothing_taken, table

_CODE: Final = "forgotten"


def _sessions(subject: UUID, at: datetime) -> int:
    """Whoever is being asked about right now, and is this patient, is not asked about any more."""
    theirs = FaceSession.objects.select_for_update(of=("self",)).filter(patient=subject)
    waiting = list(theirs.exclude(state__in=FaceSession.FINAL))
    for session in waiting:
        sighting.leave_to_desk(session, _CODE, by=SYSTEM, at=at)
    return len(waiting)


def _declined_as(subject: UUID) -> list[str]:
    """Return what they may be remembered under as having said no; without their keys, nothing."""
    found: list[str] = []
    for account in WechatAccount.objects.filter(patient=subject):
        with suppress(SubjectForgotten, Unopenable):
            found += declining.indexes({account.appid: account.openid or ""})
    return found


def _forget_declining(subject: UUID) -> None:
    declining.forget(_declined_as(subject))


def _declinings(subject: UUID) -> QuerySet[Declining]:
    return Declining.objects.filter(openid_index__in=_declined_as(subject))


def _answers(subject: UUID) -> QuerySet[StoredAnswer]:
    """Return what terminals were told since this patient stood there: in it may be who it was."""
    visits = FaceSession.objects.filter(
        patient=subject, terminal=OuterRef("terminal"), opened_at__lte=OuterRef("created_at")
    )
    return StoredAnswer.objects.filter(Exists(visits))


def _forget_answers(subject: UUID, _at: datetime) -> int:
    gone, _ = _answers(subject).delete()
    return gone


PLACES: Final = (
    table(
        FaceSession,
        "刷脸会话",
        erase=_sessions,
        told=telling.sessions,
        outcome="进行中的终止，人脸凭证和微信应答清除",
        remains="会话的时间、终端和结果，满保存期限后删除",
    ),
    table(
        Consent,
        "同意记录",
        told=telling.consents,
        remains="同意、不同意、撤回的时间和告知书版本，只有编号，用于证明曾经告知",
    ),
    Place(
        name=Declining._meta.label_lower,
        label="近期不同意",
        count=lambda subject: _declinings(subject).count(),
        erase=nothing_taken,
        told=lambda subject: telling.declinings(_declinings(subject)),
        outcome="密钥销毁前删除",
        before_keys=_forget_declining,
    ),
    Place(
        name=StoredAnswer._meta.label_lower,
        label="给终端的应答",
        count=lambda subject: _answers(subject).count(),
        erase=_forget_answers,
        outcome="删除",
    ),
)


def register() -> None:
    for place in PLACES:
        subjects.register(place)
