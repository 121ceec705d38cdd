"""
查看明文: one field of one patient in clear, for a stated purpose, on record before it is shown.

Asked in this order: the right, the clearance, the campus, a second factor a moment ago, the quota.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import TextChoices

from hospital import labels, policy, retention, roles
from hospital.accounts.models import Staff
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.sealing import Unopenable
from hospital.errors import Refusal
from hospital.patients.models import Patient, Reveal
from hospital.patients.restriction import demand_unrestricted
from hospital.roles import May

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


class Field(TextChoices):
    REAL_NAME = "real_name", "姓名"
    DOCUMENT_NUMBER = "document_number", "证件号码"
    BIRTH_DATE = "birth_date", "出生日期"


class Purpose(TextChoices):
    IDENTITY = "identity", "核对身份"
    INSURANCE = "insurance", "医保登记"
    CONTACT = "contact", "联系患者或家属"
    CORRECTION = "correction", "更正信息"
    TREATMENT = "treatment", "急诊救治"
    JUDICIAL = "judicial", "司法协助"


class StepUpNeeded(Refusal):
    """Who asks has not shown a moment ago that it is them."""

    code = "step_up"
    message = "请先验证是您本人"


class QuotaSpent(Refusal):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count


class HourSpent(QuotaSpent):
    code = "stop_hour"
    message = "一小时内查看明文已达上限，暂停查看；已通知审计管理员"


class DaySpent(QuotaSpent):
    code = "stop_day"
    message = "24 小时内查看明文已达上限，暂停查看；已通知审计管理员"


class NothingToShow(Refusal):
    code = "nothing"
    message = "该项没有登记"


class Erased(Refusal):
    code = "erased"
    message = "已依法删除"


class Thinned(Refusal):
    code = "thinned"
    message = "已移交 HIS，这里不再保存，请在 HIS 中查看"


class Unreadable(Refusal):
    code = "unreadable"
    message = "无法打开，请告诉安全管理员"


@dataclass(frozen=True)
class Revealed:
    """
    What was opened.

    :param is_much: within the last hour it was so often that somebody should ask why
    """

    value: str = field(repr=False)
    is_much: bool


def reveal(
    patient: UUID, what: Field, purpose: Purpose, *, by: Staff, is_fresh: bool, at: datetime
) -> Revealed:
    """
    Return one value of a patient in clear; the event is on disk when this returns.

    :param is_fresh: `by` has shown a moment ago that it is them (`hospital.stepup`)
    :raises PermissionDenied: `by` has not the right, or not the clearance (`NotCleared`)
    :raises Patient.DoesNotExist: at the campus of `by` there is no such patient
    :raises StepUpNeeded: nobody showed that it is them
    :raises HourSpent, DaySpent: a quota is used up; that is on record, and an alarm
    :raises Restricted: nothing may be done with this record
    :raises NothingToShow, Erased, Thinned, Unreadable: there is nothing to reveal, and nothing was
        counted
    """
    if not roles.may(by, May.REVEAL_PATIENTS):
        raise PermissionDenied
    labels.demand(by, f"patients.patient.{what.value}")
    known = Patient.objects.seen_by(by).get(pk=patient)
    if not is_fresh:
        raise StepUpNeeded
    demand_unrestricted(known)
    value = _opened(known, what)
    with transaction.atomic(durable=True):
        # Two windows of one person wait here for each other: the last one left is shown once.
        Staff.objects.select_for_update(no_key=True).get(pk=by.pk)
        spent = _counted(by, since=at - _HOUR), _counted(by, since=at - _DAY)
        refusal = _refusal(*spent)
        if refusal is None:
            Reveal.objects.filter(staff=by, at__lt=retention.cutoff("reveal", at)).delete()
            Reveal.objects.create(staff=by, at=at)
            record(
                Action.PATIENT_REVEAL,
                by=by,
                on=known,
                at=at,
                field=what.value,
                purpose=purpose.value,
            )
    if refusal is not None:
        _tell_of(refusal, by=by, at=at)
        raise refusal
    return Revealed(value, is_much=_is_much(spent[0] + 1, by=by, at=at))


def _opened(patient: Patient, what: Field) -> str:
    if patient.thinned_at is not None:
        raise Thinned
    try:
        match what:
            case Field.REAL_NAME:
                value = patient.real_name
            case Field.DOCUMENT_NUMBER:
                value = patient.document_number
            case Field.BIRTH_DATE:
                value = patient.born.isoformat() if patient.born else None
    except SubjectForgotten:
        raise Erased from None
    except Unopenable:
        raise Unreadable from None
    if not value:
        raise NothingToShow
    return value


def _counted(by: Staff, *, since: datetime) -> int:
    return Reveal.objects.filter(staff=by, at__gt=since).count()


def _refusal(hour: int, day: int) -> QuotaSpent | None:
    if day >= policy.value("REVEAL_STOP_DAY"):
        return DaySpent(day)
    if hour >= policy.value("REVEAL_STOP_HOUR"):
        return HourSpent(hour)
    return None


def _tell_of(refusal: QuotaSpent, *, by: Staff, at: datetime) -> None:
    missed = flood.admit(
        f"reveal:{by.pk}", Action.PATIENT_REVEAL_QUOTA, by=by, on=by, code=refusal.code
    )
    if missed is None:
        return
    with transaction.atomic():
        record(
            Action.PATIENT_REVEAL_QUOTA,
            by=by,
            on=by,
            at=at,
            outcome="denied",
            code=refusal.code,
            count=refusal.count,
            suppressed=missed,
        )


def _is_much(hour: int, *, by: Staff, at: datetime) -> bool:
    """Whether somebody should ask if all this is needed; on record once an hour."""
    if hour < policy.value("REVEAL_WARN_HOUR"):
        return False
    # The count passes the line again and again, as older ones fall out of the hour.
    if cache.add(f"reveal-warned:{by.pk}", 1, _HOUR.total_seconds()):
        with transaction.atomic():
            record(Action.PATIENT_REVEAL_QUOTA, by=by, on=by, at=at, code="warn", count=hour)
    return True
