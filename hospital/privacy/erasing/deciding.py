"""Whose data is to go, decided by two people or by a rule two people made; then it cools down."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Coalesce

from hospital import retention
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, HasActor, record
from hospital.errors import Refusal
from hospital.patients.models import Patient
from hospital.privacy import answering, holding
from hospital.privacy.models import Erasure

State = Erasure.State


class NoSuchPatient(Refusal):
    code = "erasure_no_such_patient"
    message = "没有这位患者"


class AlreadyDecided(Refusal):
    code = "erasure_decided"
    message = "该患者的信息已决定删除"


class Visited(Refusal):
    code = "erasure_visited"
    message = "该患者又来就诊，保存期限重新计算"


class TooLate(Refusal):
    code = "erasure_too_late"
    message = "冷静期已过或已取消，不能再取消"


def standing(subject: UUID) -> Erasure | None:
    """Return what was decided of this patient and not cancelled."""
    return Erasure.objects.filter(subject=subject).exclude(state=State.CANCELLED).first()


@transaction.atomic
def begin(
    subject: UUID,
    *,
    cause: Erasure.Cause,
    cooling: timedelta,
    proposal: UUID | None = None,
    request: UUID | None = None,
    at: datetime,
) -> Erasure:
    """
    Decide that `subject` is forgotten after `cooling`; asked again, return what was decided.

    :raises hospital.privacy.holding.Held: a legal hold stands
    :raises NoSuchPatient:
    """
    demand_erasable(subject, at=at)
    if decided := standing(subject):
        return decided
    erasure = Erasure.objects.create(
        subject=subject,
        cause=cause,
        proposal=proposal,
        request=request,
        decided_at=at,
        due_at=at + cooling,
    )
    known = {"proposal": proposal, "request": request}
    facts: dict[str, Any] = {name: one for name, one in known.items() if one}
    hours = cooling // timedelta(hours=1)
    record(
        Action.ERASURE_DECIDE,
        by=SYSTEM,
        on=erasure,
        at=at,
        patient=subject,
        cause=cause.value,
        hours=hours,
        **facts,
    )
    return erasure


@transaction.atomic
def cancel(erasure: Erasure, *, by: HasActor, at: datetime) -> None:
    """
    Let the patient stay, as long as nothing is gone.

    :raises TooLate: it has begun, or was cancelled
    """
    stop(erasure.pk, by=by, code="withdrawn", at=at)


def stop(pk: UUID, *, by: Any, code: str, at: datetime) -> None:
    """
    End one that cools down, in the caller's transaction; what it answered is open again.

    :raises TooLate: it is not there any more
    """
    cooling = Erasure.objects.filter(pk=pk, state=State.COOLING)
    if not cooling.update(state=State.CANCELLED, done_at=at):
        raise TooLate
    erasure = Erasure.objects.get(pk=pk)
    record(Action.ERASURE_CANCEL, by=by, on=erasure, at=at, patient=erasure.subject, code=code)
    if erasure.request:
        answering.erasure_stopped(erasure.request, code=code, at=at)


def demand_erasable(subject: UUID, *, at: datetime) -> None:
    """
    Demand that nothing keeps this patient; locked, so that no hold is placed meanwhile.

    In a transaction: placing a hold refers to the patient's row, and waits for it.

    :raises NoSuchPatient:
    :raises hospital.privacy.holding.Held:
    """
    if not Patient.objects.select_for_update().filter(pk=subject).values_list("pk").first():
        raise NoSuchPatient
    holding.demand_free(subject, at=at)


def demand_unvisited(subject: UUID, *, at: datetime) -> None:
    """
    Demand that this patient is still past the period they are kept for; locked by the caller.

    :raises Visited: they came back after it was decided
    """
    visited = Patient.objects.alias(seen=Coalesce("last_visit_at", "created_at"))
    if visited.filter(pk=subject, seen__gte=retention.cutoff("identity", at)).exists():
        raise Visited
