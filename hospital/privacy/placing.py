"""
依法保全 takes two people: the privacy officer asks, the security administrator decides.

It ends by itself after its last day (`holding.end_past`).
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from hospital.accounts.models import Staff
from hospital.audit import proposing
from hospital.audit.actions import Action
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind, demand_asker
from hospital.audit.recording import SYSTEM, record
from hospital.errors import Refusal
from hospital.patients import documents
from hospital.patients.models import Patient
from hospital.privacy import holding, nameless
from hospital.privacy.models import LegalHold
from hospital.roles import May

PLACE: Final = "hold.place"
LIFT: Final = "hold.lift"
LONGEST: Final = 3 * 366  # days; what takes longer is placed again, by two people


class NoSuchPatient(Refusal):
    code = "hold_no_patient"
    message = "没有这位患者"


class AlreadyHeld(Refusal):
    code = "hold_already"
    message = "该患者的信息已在依法保全"


class NotHeld(Refusal):
    code = "hold_none"
    message = "该保全已解除或已到期"


class Unsuitable(Refusal):
    code = "hold_until"
    message = "保全至的日期须在今天之后、三年以内"


def stated(patient: Patient, until: date) -> dict[str, str]:
    """Return what a request to hold a patient states."""
    return {"patient": str(patient.pk), "until": f"{until:%Y%m%d}"}


def ask(patient: Patient, until: date, *, reason: str, by: Staff, at: datetime) -> Proposal:
    """
    Ask that a patient is held.

    :raises TellsWho: the reason says who it is
    :raises Refusal: what the check refuses, or `proposing.ask`
    """
    nameless.demand(reason, patient.pk)
    return proposing.ask(PLACE, stated(patient, until), reason=reason, by=by, at=at)


def ask_to_lift(hold: LegalHold, *, reason: str, by: Staff, at: datetime) -> Proposal:
    """
    Ask that a hold ends before its day.

    :raises TellsWho: the reason says who it is
    :raises Refusal: what the check refuses, or `proposing.ask`
    """
    nameless.demand(reason, hold.patient_id)
    return proposing.ask(LIFT, {"hold": str(hold.pk)}, reason=reason, by=by, at=at)


def _check_placing(facts: Mapping[str, Any], at: datetime) -> None:
    patient, until = _patient(facts), _day(facts["until"])
    days = (until - timezone.localdate(at)).days
    if not 0 < days <= LONGEST:
        raise Unsuitable
    if holding.standing(at=at).filter(patient=patient).exists():
        raise AlreadyHeld


def _place(proposal: Proposal, at: datetime) -> None:
    demand_asker(proposal)
    # Whoever erases or thins this patient in this moment is waited for.
    Patient.objects.select_for_update().filter(pk=_patient(proposal.facts).pk).first()
    _check_placing(proposal.facts, at)
    holding.end_past(at=at)
    until = _day(proposal.facts["until"])
    hold = LegalHold.objects.create(
        patient=_patient(proposal.facts), until=until, placed_at=at, proposal=proposal.pk
    )
    record(
        Action.HOLD_PLACE,
        by=SYSTEM,
        on=hold,
        at=at,
        patient=hold.patient_id,
        until=proposal.facts["until"],
        proposal=proposal.pk,
    )


def _check_lifting(facts: Mapping[str, Any], at: datetime) -> None:
    _hold(facts, at)


def _carry_lifting(proposal: Proposal, at: datetime) -> None:
    demand_asker(proposal)
    if not holding.lift(_hold(proposal.facts, at), code="lifted", at=at, proposal=proposal.pk):
        raise NotHeld


def _patient(facts: Mapping[str, Any]) -> Patient:
    try:
        return Patient.objects.get(pk=UUID(str(facts["patient"])))
    except (ValueError, Patient.DoesNotExist):
        raise NoSuchPatient from None


def _hold(facts: Mapping[str, Any], at: datetime) -> LegalHold:
    try:
        return holding.standing(at=at).get(pk=UUID(str(facts["hold"])))
    except (ValueError, LegalHold.DoesNotExist):
        raise NotHeld from None


def _day(text: Any) -> date:
    try:
        return datetime.strptime(str(text), "%Y%m%d").date()  # noqa: DTZ007 (a day, no moment)
    except ValueError:
        raise Unsuitable from None


def _told_placing(facts: Mapping[str, Any], _names: Mapping[str, str]) -> str:
    number = Patient.objects.filter(pk=facts["patient"]).values_list("number", flat=True).first()
    about = documents.in_part(number) if number else "已不存在"
    return f"患者 {about}，保全至 {_day(facts['until']):%Y-%m-%d}"


def _told_lifting(facts: Mapping[str, Any], _names: Mapping[str, str]) -> str:
    hold = LegalHold.objects.select_related("patient").filter(pk=facts["hold"]).first()
    if hold is None:
        return "已清理的保全"
    number = documents.in_part(hold.patient.number)
    return f"患者 {number}，原保全至 {hold.until:%Y-%m-%d}"


OF_PLACING: Final = Kind(
    tag=PLACE,
    label="依法保全",
    asks=May.ASK_HOLD,
    decides=May.APPROVE_HOLD,
    facts=frozenset({"patient", "until"}),
    check=_check_placing,
    carry_out=_place,
    told=_told_placing,
    is_final=False,
)
OF_LIFTING: Final = Kind(
    tag=LIFT,
    label="解除依法保全",
    asks=May.ASK_HOLD,
    decides=May.APPROVE_HOLD,
    facts=frozenset({"hold"}),
    check=_check_lifting,
    carry_out=_carry_lifting,
    told=_told_lifting,
)
