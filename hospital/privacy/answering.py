"""The answer to a rights request, by the privacy officer, and what follows from it at once."""

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from hospital.accounts.models import Staff
from hospital.audit.recording import SYSTEM
from hospital.errors import Refusal
from hospital.patients.models import Correction, Patient
from hospital.privacy import (
    copying,
    decided,
    disclosing,
    holding,
    nameless,
    restricting,
    rights,
    subjects,
)
from hospital.privacy.models import Disclosure, Erasure, RightsRequest

Kind = RightsRequest.Kind
Refused = RightsRequest.Refused
State = RightsRequest.State

AGREED: Final = "agreed"  # to what is still to be carried out
REOPENED: Final = "reopened"  # what was agreed to was stopped


class SamePerson(Refusal):
    code = "rights_same_person"
    message = "核验申请人身份的人不能答复同一请求"


class NoReason(Refusal):
    code = "rights_no_reason"
    message = "不予办理须选择理由并写明说明，告知申请人"


class AlreadyAgreed(Refusal):
    code = "rights_already_agreed"
    message = "已同意提供副本，等待登记员制作并交给申请人"


class Undecided(Refusal):
    code = "rights_undecided"
    message = "删除须两人办理：先由登记员申请，批准后再答复"


class NotCorrected(Refusal):
    code = "rights_not_corrected"
    message = "受理之后还没有生效的更正：复核通过后再办结，不更正的请不予办理"


class NotWithdrawn(Refusal):
    code = "rights_not_withdrawn"
    message = "受理之后还没有撤回同意：登记员在同意记录页撤回后再办结"


@transaction.atomic
def grant(request: RightsRequest, *, by: Staff, at: datetime) -> None:
    """
    Do as was asked, or allow it: a copy is still to be made, and the request ends with it.

    :raises SamePerson, AlreadyAgreed:
    :raises Undecided, NotCorrected, NotWithdrawn: nothing of the kind was done at the desk yet
    :raises NotOpen: it ended, or nobody checked who asks
    :raises Restricted: or what else restricting refuses with
    """
    _demand_another(request, by)
    match Kind(request.kind):
        case Kind.COPY:
            if request.is_agreed:
                raise AlreadyAgreed
            _answer(request, State.VERIFIED, AGREED, by=by, at=at)
            return
        case Kind.ACCESS:
            _note_told(request, by=by, at=at)
        case Kind.DELETE:
            _demand_decided(request)
        case Kind.RESTRICT:
            patient = Patient.objects.get(pk=request.patient)
            restricting.restrict(patient, code="request", request=request.pk, by=by, at=at)
        case Kind.CORRECT:
            _demand_corrected(request)
        case Kind.WITHDRAW:
            _demand_withdrawn(request)
    _answer(request, State.DONE, State.DONE.value, by=by, at=at)


@transaction.atomic
def refuse(
    request: RightsRequest, *, reason: Refused | None, note: str, by: Staff, at: datetime
) -> None:
    """
    Say no, and why: a clause, and a sentence for the applicant (个人信息保护法 第五十条).

    :raises NoReason: one of them is missing
    :raises TellsWho: the sentence names the patient
    :raises SamePerson:
    :raises NotOpen: it ended already
    """
    note = note.strip()
    if reason is None or not note:
        raise NoReason
    nameless.demand(note, request.patient)
    _demand_another(request, by)
    rights.move(
        request,
        *RightsRequest.OPEN,
        state=State.REFUSED,
        refused=reason,
        note=note,
        answered_by=by.pk,
        answered_at=at,
    )
    decided.note(request, State.REFUSED.value, code=reason.value, by=by, at=at)
    copying.drop(request, code="refused", by=by, at=at)


@transaction.atomic
def erasure_decided(request: UUID, *, patient: UUID, by: UUID | None, at: datetime) -> None:
    """
    Answer the request an erasure was asked for with, in the transaction that decided on it.

    :raises SamePerson:
    """
    theirs = RightsRequest.objects.filter(pk=request, patient=patient, kind=Kind.DELETE)
    waiting = theirs.filter(state=State.VERIFIED)
    if by and waiting.filter(verified_by=by).exists():
        raise SamePerson
    if waiting.update(state=State.DONE, answered_by=by, answered_at=at):
        answered = RightsRequest.objects.get(pk=request)
        decided.note(answered, State.DONE.value, by=SYSTEM, at=at)


def erasure_stopped(request: UUID, *, code: str, at: datetime) -> None:
    """
    Open the request again, in the transaction that stopped its erasure: nothing was erased.

    Where the patient has asked once more meanwhile, that one is to be answered.
    """
    done = RightsRequest.objects.filter(pk=request, kind=Kind.DELETE, state=State.DONE).first()
    if done is None:
        return
    alike = RightsRequest.objects.filter(patient=done.patient, kind=Kind.DELETE)
    if alike.filter(state__in=RightsRequest.OPEN).exists():
        return
    rights.move(done, State.DONE, state=State.VERIFIED, answered_by=None, answered_at=None)
    decided.note(done, REOPENED, code=code, by=SYSTEM, at=at)


def suggested(request: RightsRequest, *, at: datetime) -> Refused | None:
    """Return why a request is to be refused, where that is known already."""
    held = holding.standing(at=at).filter(patient=request.patient)
    return Refused.HOLD if request.kind == Kind.DELETE and held.exists() else None


def _answer(
    request: RightsRequest, state: State, decision: str, *, by: Staff, at: datetime
) -> None:
    rights.move(request, State.VERIFIED, state=state, answered_by=by.pk, answered_at=at)
    decided.note(request, decision, by=by, at=at)


def _note_told(request: RightsRequest, *, by: Staff, at: datetime) -> None:
    disclosing.note(
        Disclosure.Recipient.SUBJECT,
        purpose="access",
        fields=[one.name for one in subjects.places() if one.count(request.patient)],
        subject=request.patient,
        reference=str(request.pk),
        by=by,
        staff=by.pk,
        at=at,
    )


def _demand_another(request: RightsRequest, by: Staff) -> None:
    if request.verified_by == by.pk:
        raise SamePerson


def _demand_decided(request: RightsRequest) -> None:
    standing = Erasure.objects.exclude(state=Erasure.State.CANCELLED)
    if not standing.filter(subject=request.patient).exists():
        raise Undecided


def _demand_corrected(request: RightsRequest) -> None:
    done = Correction.objects.filter(patient=request.patient, state=Correction.State.DONE)
    if not done.filter(decided_at__gte=request.opened_at).exists():
        raise NotCorrected


def _demand_withdrawn(request: RightsRequest) -> None:
    patients = Patient.objects.filter(pk=request.patient)
    if not patients.filter(consent_withdrawn_at__gte=request.opened_at).exists():
        raise NotWithdrawn
