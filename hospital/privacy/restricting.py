"""
限制处理: everything but storing stops for one patient, until it is released.

What may not be erased yet, or is in dispute, is not worked with either (个人信息保护法 第四十七条).
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import TextChoices

from hospital import roles
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.patients.models import Patient
from hospital.roles import May


class Why(TextChoices):
    """What somebody was restricted or released for, as the trail says it."""

    REQUEST = "request", "患者申请"
    DISPUTE = "dispute", "对信息有异议，正在核实"
    RETENTION = "retention", "法定保存期未满，不能删除"
    SETTLED = "settled", "事由已消除"


TO_RESTRICT: Final = (Why.REQUEST, Why.DISPUTE, Why.RETENTION)
TO_RELEASE: Final = (Why.REQUEST, Why.SETTLED)


class RestrictedAlready(Refusal):
    code = "restricted_already"
    message = "该患者的信息已限制处理"


class NotRestricted(Refusal):
    code = "not_restricted"
    message = "该患者的信息没有限制处理"


def restrict(
    patient: Patient, *, code: str, request: UUID | None = None, by: Staff, at: datetime
) -> None:
    """
    Stop everything but storing.

    :param code: one of `TO_RESTRICT`
    :param request: the rights request it answers
    :raises PermissionDenied: `by` may not
    :raises RestrictedAlready:
    """
    _move(Action.PATIENT_RESTRICT, patient, to=at, code=code, request=request, by=by, at=at)


def release(
    patient: Patient, *, code: str, request: UUID | None = None, by: Staff, at: datetime
) -> None:
    """
    Let it be worked with again.

    :param code: one of `TO_RELEASE`
    :raises PermissionDenied: `by` may not
    :raises NotRestricted:
    """
    _move(Action.PATIENT_RELEASE, patient, to=None, code=code, request=request, by=by, at=at)


@transaction.atomic
def _move(
    action: Action,
    patient: Patient,
    *,
    to: datetime | None,
    code: str,
    request: UUID | None,
    by: Staff,
    at: datetime,
) -> None:
    if not roles.may(by, May.RESTRICT_PATIENTS):
        raise PermissionDenied
    here = Patient.objects.filter(pk=patient.pk, restricted_at__isnull=to is not None)
    if not here.update(restricted_at=to):
        raise RestrictedAlready if to else NotRestricted
    patient.refresh_from_db(fields=["restricted_at"])
    facts: dict[str, Any] = {"request": request} if request else {}
    record(action, by=by, on=patient, at=at, code=code, **facts)
