"""
What the copy says of each row about a patient, in words: values of theirs and of nobody else.

Neither the names of staff nor what is another person's, though it is kept in their record: of a
guardian that there is one, of a record that may be theirs as well nothing.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from hospital.patients.models import (
    Attendance,
    Correction,
    Guardian,
    HandOff,
    Identification,
    Patient,
    Registration,
    WechatAccount,
    WechatUnion,
)
from hospital.privacy import subjects
from hospital.privacy.models import Disclosure, Erasure, RightsRequest
from hospital.privacy.subjects import Told

PURPOSES: Final = {
    "handoff": "移交医院信息系统",
    "copy": "本人申请副本",
    "access": "本人申请查阅",
    "support": "维护支持",
}


def patient(subject: UUID) -> list[Told]:
    return [
        _row(
            ("患者编号", one.number),
            ("姓名", one.real_name),
            ("证件类型", one.get_document_type_display()),
            ("证件号码", one.document_number),
            ("出生日期", one.born),
            ("建档时间", one.created_at),
            ("最近就诊", one.last_visit_at),
            ("限制处理", one.restricted_at),
        )
        for one in Patient.objects.filter(pk=subject)
    ]


def wechat_accounts(subject: UUID) -> list[Told]:
    return [
        _row(
            ("AppID", one.appid),
            ("OpenID", one.openid),
            ("关联时间", one.created_at),
            ("最近识别", one.last_used_at),
        )
        for one in WechatAccount.objects.filter(patient=subject).order_by("id")
    ]


def wechat_unions(subject: UUID) -> list[Told]:
    found = WechatUnion.objects.filter(patient=subject).order_by("id")
    return [_row(("UnionID", one.union_id), ("关联时间", one.created_at)) for one in found]


def attendances(subject: UUID) -> list[Told]:
    found = Attendance.objects.filter(patient=subject).order_by("since")
    campuses = settings.CAMPUSES
    return [
        _row(("院区", campuses.get(one.campus, one.campus)), ("首次时间", one.since))
        for one in found
    ]


def identifications(subject: UUID) -> list[Told]:
    return [
        _row(
            ("时间", one.at),
            ("方式", one.get_method_display()),
            ("依据", one.get_evidence_display()),
        )
        for one in Identification.objects.filter(patient=subject).order_by("id")
    ]


def guardians(subject: UUID) -> list[Told]:
    """Return that there is one, and how that was shown; who it is are somebody else's data."""
    return [
        _row(
            ("关系", one.get_relation_display()),
            ("依据", one.get_evidence_display()),
            ("时间", one.at),
        )
        for one in Guardian.objects.filter(patient=subject).order_by("id")
    ]


def registrations(subject: UUID) -> list[Told]:
    return [
        _row(
            ("时间", one.entered_at),
            ("原因", one.get_cause_display()),
            ("依据", one.get_evidence_display()),
            ("状态", one.get_state_display()),
        )
        for one in Registration.objects.filter(patient=subject).order_by("id")
    ]


def corrections(subject: UUID) -> list[Told]:
    return [
        _row(
            ("申请时间", one.asked_at),
            ("依据", one.get_evidence_display()),
            ("状态", one.get_state_display()),
            ("办理时间", one.decided_at),
        )
        for one in Correction.objects.filter(patient=subject).order_by("id")
    ]


def handoffs(subject: UUID) -> list[Told]:
    return [
        _row(
            ("时间", one.created_at),
            ("状态", one.get_state_display()),
            ("HIS 患者编号", one.his_patient_id),
            ("确认时间", one.acknowledged_at),
        )
        for one in HandOff.objects.filter(patient=subject).order_by("id")
    ]


def requests(subject: UUID) -> list[Told]:
    return [
        _row(
            ("受理时间", one.opened_at),
            ("事项", one.get_kind_display()),
            ("申请人", one.get_applicant_display()),
            ("状态", one.get_state_display()),
            ("答复时间", one.answered_at),
            ("说明", one.note),
        )
        for one in RightsRequest.objects.filter(patient=subject).order_by("id")
    ]


def disclosures(subject: UUID) -> list[Told]:
    return [
        _row(
            ("时间", one.at),
            ("接收方", one.get_recipient_display()),
            ("用途", PURPOSES.get(one.purpose, one.purpose)),
            ("内容", "、".join(words(one.fields))),
        )
        for one in Disclosure.objects.filter(subject=subject).order_by("id")
    ]


def erasures(subject: UUID) -> list[Told]:
    return [
        _row(
            ("决定时间", one.decided_at),
            ("原因", one.get_cause_display()),
            ("状态", one.get_state_display()),
        )
        for one in Erasure.objects.filter(subject=subject).order_by("id")
    ]


def words(fields: Iterable[str]) -> list[str]:
    """Return what people call these fields, as far as it is known: a place's, or a column's."""
    known = {one.name: one.label for one in subjects.places()}
    columns = {one.name: str(one.verbose_name) for one in Patient._meta.concrete_fields}
    return [known.get(one) or columns.get(one) or one for one in fields]


def _row(*pairs: tuple[str, object]) -> Told:
    return [(label, text) for label, value in pairs if (text := _text(value))]


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return f"{timezone.localtime(value):%Y-%m-%d %H:%M}"
        case date():
            return value.isoformat()
    return str(value)
