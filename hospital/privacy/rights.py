"""
权利请求 at the desk: opened, identity checked, answered in time (个人信息保护法 第四十四至五十条).

Nothing is told, handed over or changed before the applicant's identity was checked; who checked it
does not answer (`hospital.privacy.answering`).
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from hospital import labels, policy
from hospital.accounts import working_days
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.errors import Refusal
from hospital.patients.models import Identification, Patient
from hospital.privacy import copying, decided
from hospital.privacy.models import RightsRequest
from hospital.roles import Role

Applicant = RightsRequest.Applicant
Evidence = Identification.Evidence
Kind = RightsRequest.Kind
State = RightsRequest.State

LONGEST: Final = timedelta(days=30)  # GB/T 35273-2020 8.7, however many of them are holidays
LATE_AT_ONCE: Final = 500  # reminders in one transaction

_DOCUMENTS: Final = frozenset({Evidence.ORIGINAL, Evidence.READER, Evidence.ELECTRONIC})
# What shows that somebody is who they say, and may ask.
PROVES: Final[Mapping[Applicant, frozenset[Evidence]]] = {
    Applicant.SELF: _DOCUMENTS,
    Applicant.GUARDIAN: frozenset({Evidence.GUARDIAN}),
    Applicant.AGENT: _DOCUMENTS,
    Applicant.RELATIVE: _DOCUMENTS,
}
# Who shows besides their own document that they may ask: a mandate, or how they are related.
NEEDS_GROUND: Final = frozenset({Applicant.AGENT, Applicant.RELATIVE})
# What others may ask of the data of who died (个人信息保护法 第四十九条).
OF_THE_DEAD: Final = frozenset({Kind.ACCESS, Kind.COPY, Kind.CORRECT, Kind.DELETE})


class AlreadyOpen(Refusal):
    code = "rights_already_open"
    message = "这位患者已有一项同样的请求正在办理"


class NotTheirs(Refusal):
    code = "rights_not_theirs"
    message = "近亲属只能查阅、复制、更正、删除死者的个人信息"


class Unproven(Refusal):
    code = "rights_unproven"
    message = "该依据不能证明申请人的身份"


class NoGround(Refusal):
    code = "rights_no_ground"
    message = "受托人须出示委托书，近亲属须出示关系证明"


class NotOpen(Refusal):
    code = "rights_not_open"
    message = "该请求已办结，或已不在这一步，请刷新后再看"


def open_request(
    patient: Patient, kind: Kind, *, applicant: Applicant, by: Staff, at: datetime
) -> RightsRequest:
    """
    Take a request at the campus of `by`; its clock runs from here.

    :raises AlreadyOpen: the same is being dealt with
    :raises NotTheirs: relatives of the dead may not ask for this
    """
    if applicant == Applicant.RELATIVE and kind not in OF_THE_DEAD:
        raise NotTheirs
    request = RightsRequest(
        kind=kind,
        patient=patient.pk,
        campus=by.campus,
        applicant=applicant,
        opened_by=by.pk,
        opened_at=at,
        due_on=due_on(timezone.localdate(at)),
    )
    with transaction.atomic():
        try:
            with transaction.atomic():
                request.save(force_insert=True)
        except IntegrityError:
            raise AlreadyOpen from None
        record(
            Action.RIGHTS_OPEN,
            by=by,
            on=request,
            at=at,
            kind=kind.value,
            patient=patient.pk,
            applicant=applicant.value,
            due=f"{request.due_on:%Y%m%d}",
        )
    return request


def due_on(opened: date) -> date:
    """Return the last day on which what was opened that day is answered in time."""
    return min(working_days.after(opened, policy.value("RIGHTS_WORKING_DAYS")), opened + LONGEST)


@transaction.atomic
def verify(
    request: RightsRequest,
    *,
    evidence: Evidence,
    ground_shown: bool = False,
    by: Staff,
    at: datetime,
) -> None:
    """
    Note that the applicant showed who they are.

    :param ground_shown: also what lets them ask for somebody else
    :raises Unproven: such evidence does not show it
    :raises NoGround: they ask for somebody else and did not show that they may
    :raises NotOpen: it was checked, or ended, already
    """
    if evidence not in PROVES[Applicant(request.applicant)]:
        raise Unproven
    if request.applicant in NEEDS_GROUND and not ground_shown:
        raise NoGround
    move(request, State.OPEN, state=State.VERIFIED, evidence=evidence, verified_by=by.pk,
         verified_at=at)  # fmt: skip
    record(
        Action.RIGHTS_VERIFY,
        by=by,
        on=request,
        at=at,
        evidence=evidence.value,
        ground_shown=ground_shown,
    )


@transaction.atomic
def withdraw(request: RightsRequest, *, by: Staff, at: datetime) -> None:
    """
    Note that the applicant took it back; a copy that was made is gone.

    :raises NotOpen:
    """
    move(request, *RightsRequest.OPEN, state=State.WITHDRAWN, answered_by=by.pk, answered_at=at)
    decided.note(request, State.WITHDRAWN.value, by=by, at=at)
    copying.drop(request, code="withdrawn", by=by, at=at)


def move(request: RightsRequest, *before: State, **changes: Any) -> None:
    """
    Change a request that is in one of these states, in the caller's transaction.

    :raises NotOpen: it is in none of them any more
    """
    here = RightsRequest.objects.filter(pk=request.pk, state__in=before)
    if not here.update(**changes):
        raise NotOpen
    request.refresh_from_db()


def seen_by(staff: Staff) -> QuerySet[RightsRequest]:
    """
    Return the requests this member of staff may know of.

    :raises NotCleared: they are not cleared for patients at all
    """
    labels.demand(staff, "patients.patient")
    if staff.role == Role.PRIVACY:  # answers for all of them
        return RightsRequest.objects.all()
    if not staff.campus:
        return RightsRequest.objects.none()
    return RightsRequest.objects.filter(campus=staff.campus)


def waiting(staff: Staff) -> QuerySet[RightsRequest]:
    """Return what is not answered yet, the most urgent first."""
    return seen_by(staff).filter(state__in=RightsRequest.OPEN).order_by("due_on", "id")


def raise_late(*, at: datetime) -> int:
    """Put on record, once each, what was not answered in time; return how many."""
    today = timezone.localdate(at)
    late = RightsRequest.objects.filter(
        state__in=RightsRequest.OPEN, due_on__lt=today, escalated_at=None
    )
    raised = 0
    for request in late[:LATE_AT_ONCE]:
        with transaction.atomic():
            if late.filter(pk=request.pk).update(escalated_at=at):
                record(Action.RIGHTS_LATE, by=SYSTEM, on=request, at=at, kind=request.kind)
                raised += 1
    return raised
