"""Two people decide that a patient is forgotten: the desk asks, the privacy officer decides."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from hospital import policy
from hospital.accounts.models import Staff
from hospital.audit import proposing
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind, demand_asker
from hospital.errors import Refusal
from hospital.patients import likenesses
from hospital.patients.models import Patient
from hospital.privacy import answering, nameless
from hospital.privacy.erasing import deciding, planning
from hospital.privacy.models import Erasure
from hospital.roles import May

TAG: Final = "patient.erase"
COOLING: Final = "ERASURE_COOLING_HOURS"


class Relinked(Refusal):
    code = "erasure_relinked"
    message = "与该患者关联的档案有变化，请重新申请"


def stated(patient: Patient, request: UUID | None) -> dict[str, Any]:
    """
    Return what a request states: whose data, and the rights request it answers, if any.

    Records that were found to be of the same person go together: both who ask and who decide see
    which.
    """
    linked = sorted(map(str, to_go_along(patient.pk)))
    return {"patient": str(patient.pk), "request": str(request or ""), "linked": linked}


def to_go_along(patient: UUID) -> set[UUID]:
    """Return the other records of the same person that nobody has decided to erase."""
    return {one for one in likenesses.linked(patient) if not deciding.standing(one)}


def check(facts: Mapping[str, Any], at: datetime) -> None:
    """:raises Refusal: no such patient, held, decided already, or of more records than stated"""
    subject = _uuid(facts["patient"])
    if subject is None:
        raise deciding.NoSuchPatient
    with transaction.atomic():
        along = to_go_along(subject)
        for record in sorted({subject, *along}):
            deciding.demand_erasable(record, at=at)
        if deciding.standing(subject):
            raise deciding.AlreadyDecided
        if not along <= set(map(_uuid, facts["linked"])):
            raise Relinked


def ask(
    patient: Patient, request: UUID | None, *, reason: str, by: Staff, at: datetime
) -> Proposal:
    """
    Ask that this patient is forgotten, for the request it answers, if any.

    :raises TellsWho: the reason says who it is, and would outlive them in the trail
    :raises Refusal: what `check` refuses, or `proposing.ask`
    """
    nameless.demand(reason, patient.pk)
    return proposing.ask(TAG, stated(patient, request), reason=reason, by=by, at=at)


def told(facts: Mapping[str, Any], _names: Mapping[str, str]) -> str:
    """Return whose data is to go and how much there is, in words; no name."""
    subject = _uuid(facts["patient"])
    patient = Patient.objects.filter(pk=subject).first() if subject else None
    if subject is None or patient is None:
        return "已不存在的档案"
    along = [one for text in facts["linked"] if (one := _uuid(text))]
    others = [one.number for one in Patient.objects.filter(pk__in=along).order_by("number")]
    whose = "、".join([patient.number, *others])
    rows = [one for one in planning.plan(subject, *along) if one.count]
    hours = policy.value(COOLING)
    return (
        f"患者 {whose}：涉及 {len(rows)} 类、{sum(one.count for one in rows):,} 条记录；"
        f"批准后冷静 {hours} 小时，再销毁密钥"
    )


def carry_out(proposal: Proposal, at: datetime) -> None:
    """:raises Refusal: what `check` refuses, or `proposing.AskerGone`"""
    facts = proposal.facts
    demand_asker(proposal)
    check(facts, at)
    subject, request = UUID(facts["patient"]), _uuid(facts["request"])
    for record in [subject, *sorted(to_go_along(subject))]:
        deciding.begin(
            record,
            cause=Erasure.Cause.REQUEST,
            cooling=timedelta(hours=policy.value(COOLING)),
            proposal=proposal.pk,
            request=request,
            at=at,
        )
    if request:
        answering.erasure_decided(request, patient=subject, by=proposal.decided_by, at=at)


def _uuid(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


KIND: Final = Kind(
    tag=TAG,
    label="删除个人信息",
    asks=May.ASK_ERASURE,
    decides=May.APPROVE_ERASURE,
    facts=frozenset({"patient", "request", "linked"}),
    check=check,
    carry_out=carry_out,
    told=told,
)
