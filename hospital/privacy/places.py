"""Where a patient's data lies among the hospital's own tables, and in the trail."""

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Q

from hospital.audit import commitments
from hospital.audit.actions import Action
from hospital.audit.kept import Commitment
from hospital.audit.recording import SYSTEM, record
from hospital.patients import handing_off
from hospital.patients.models import (
    Attendance,
    Correction,
    Guardian,
    HandOff,
    Identification,
    Likeness,
    Patient,
    Registration,
    WechatAccount,
    WechatUnion,
)
from hospital.privacy import copying, subjects, telling
from hospital.privacy.models import (
    Affected,
    Disclosure,
    Erasure,
    LegalHold,
    RightsCopy,
    RightsRequest,
)
from hospital.privacy.subjects import table

_NOBODY: Final = "只有编号、时间和经办情况，密钥销毁后单凭本系统不能识别到人"
_CLEARED: Final = (
    "document_number",
    "birth_date",
    *Patient.by_document.columns,
    *Patient.by_name_and_birth.columns,
)
_DROPPED: Final = {"real_name": None, "document_number": None, "birth_date": None}
_ERASED: Final = "erased"


def _patient(subject: UUID, _at: datetime) -> int:
    """Nobody is found by them any more: neither by a digest, nor by one a rotation may add."""
    filled = Q(*((f"{name}__isnull", False) for name in _CLEARED), _connector=Q.OR)
    return Patient.objects.filter(filled, pk=subject).update(**dict.fromkeys(_CLEARED))


def _accounts(subject: UUID, _at: datetime) -> int:
    gone, _ = WechatAccount.objects.filter(patient=subject).delete()
    return gone


def _unions(subject: UUID, _at: datetime) -> int:
    gone, _ = WechatUnion.objects.filter(patient=subject).delete()
    return gone


def _guardians(subject: UUID, _at: datetime) -> int:
    gone, _ = Guardian.objects.filter(patient=subject).delete()
    return gone


def _corrections(subject: UUID, at: datetime) -> int:
    """An open one ends as if it had been taken back."""
    waiting = Correction.objects.select_for_update().filter(
        patient=subject, state=Correction.State.ASKED
    )
    ended = list(waiting)
    for one in ended:
        state = Correction.State.WITHDRAWN
        Correction.objects.filter(pk=one.pk).update(state=state, decided_at=at, **_DROPPED)
        record(
            Action.CORRECTION_DECIDE,
            by=SYSTEM,
            on=one,
            at=at,
            decision=state.value,
            patient=subject,
        )
    return len(ended)


def _registered_as(subject: UUID) -> Collection[UUID]:
    """A registration is sealed under a key of its own: a backup of that day needs it."""
    return list(Registration.objects.filter(patient=subject).values_list("pk", flat=True))


def _handoffs(subject: UUID, at: datetime) -> int:
    """What the hospital's own system was still to be told, it is not told any more."""
    owed = list(
        HandOff.objects.select_for_update()
        .filter(patient=subject)
        .exclude(state=HandOff.State.DONE)
    )
    for one in owed:
        record(
            Action.HANDOFF_FAIL,
            by=SYSTEM,
            on=one,
            at=at,
            patient=subject,
            code=handing_off.ERASED,
            attempt=one.attempts,
        )
        HandOff.objects.filter(pk=one.pk).delete()
    return len(owed)


def _copies(subject: UUID, at: datetime) -> int:
    """A copy nobody fetched never will be."""
    waiting = RightsRequest.objects.filter(copying.THERE, patient=subject)
    return sum(copying.drop(request, code=_ERASED, at=at) for request in waiting)


PLACES: Final = (
    table(
        Patient,
        "患者档案",
        whose=("pk",),
        erase=_patient,
        told=telling.patient,
        outcome="清除证件号码、出生日期和全部检索索引；姓名随密钥销毁而不可恢复",
        remains="患者编号、证件类型、建档时间：与病历和留痕核对用；单凭本系统不能识别到人",
    ),
    table(
        WechatAccount,
        "微信账号",
        erase=_accounts,
        told=telling.wechat_accounts,
        outcome="删除",
    ),
    table(
        WechatUnion,
        "微信 UnionID",
        erase=_unions,
        told=telling.wechat_unions,
        outcome="删除",
    ),
    table(
        Guardian,
        "监护人",
        erase=_guardians,
        told=telling.guardians,
        outcome="删除",
    ),
    table(
        Identification,
        "身份核验",
        told=telling.identifications,
        remains=_NOBODY,
    ),
    table(
        Attendance,
        "就诊院区",
        told=telling.attendances,
        remains=_NOBODY,
    ),
    table(
        Correction,
        "更正申请",
        erase=_corrections,
        told=telling.corrections,
        outcome="未办结的终止，填写的内容清除",
        remains="申请和复核的经过，满保存期限后删除",
    ),
    table(
        Registration,
        "人工登记",
        told=telling.registrations,
        outcome="登记单的密钥一并销毁",
        remains="登记和复核的经过，满保存期限后删除",
        keys=_registered_as,
    ),
    table(
        Likeness,
        "疑似重复",
        whose=("first", "second"),
        remains=_NOBODY,
    ),
    table(
        HandOff,
        "HIS 移交",
        erase=_handoffs,
        told=telling.handoffs,
        outcome="未送达的不再移交",
        remains="已确认的只留 HIS 患者编号；HIS 中的病历由 HIS 依法保存",
    ),
    table(
        RightsRequest,
        "权利请求",
        told=telling.requests,
        remains="受理和答复的经过，用于证明已经答复；满保存期限后删除",
    ),
    table(
        LegalHold,
        "依法保全",
        remains=_NOBODY,
    ),
    table(
        Disclosure,
        "对外提供记录",
        whose=("subject",),
        told=telling.disclosures,
        remains="向谁提供过哪些项目，不含内容；满保存期限后删除",
    ),
    table(
        Affected,
        "安全事件的影响",
        whose=("subject",),
        remains=_NOBODY,
    ),
    table(
        Erasure,
        "删除个人信息",
        whose=("subject",),
        told=telling.erasures,
        remains="删除的经过，恢复备份后据此重做",
    ),
    table(
        Commitment,
        "留痕中的身份承诺",
        whose=("subject",),
        erase=lambda subject, _at: commitments.forget(subject),
        outcome="删除随机数，留痕中的摘要从此不说明任何内容，仍可核验未被改动",
        remains="留痕本身：只有编号，没有姓名和号码",
    ),
    table(
        RightsCopy,
        "个人信息副本",
        erase=_copies,
        outcome="删除",
    ),
)


def register() -> None:
    for place in PLACES:
        subjects.register(place)
    subjects.exempt("crypto.datakey", because="the keys themselves: destroyed first")
    subjects.exempt("accounts.factorseal", because="what seals second factors: nobody's data")
