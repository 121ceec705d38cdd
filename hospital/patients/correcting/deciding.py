"""A second person lets the record be what was asked for, or not; or it is taken back."""

from datetime import datetime

from django.db import IntegrityError, transaction

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.patients import enrolment, handing_off, identity, likenesses
from hospital.patients.correcting import holding
from hospital.patients.correcting.comparing import differing
from hospital.patients.correcting.seeing import demand_cleared
from hospital.patients.enrolment import Person
from hospital.patients.models import Correction, Identification, Patient
from hospital.patients.restriction import demand_unrestricted

State = Correction.State


class SamePerson(Refusal):
    code = "correction_same_person"
    message = "申请人不能复核自己的申请，请另一位同事复核"


class NotAsker(Refusal):
    code = "correction_not_asker"
    message = "只有申请人可以撤回申请"


class Taken(Refusal):
    """It became somebody else's after it was asked for."""

    code = "document_taken"
    message = "该证件现在属于另一份档案，不能更正；请退回后按疑似重复处理"


class Doubtful(Refusal):
    """A correction would cover up that somebody changed the record behind the system's back."""

    code = "identity_doubtful"
    message = "该档案与留痕不符，暂不能更正，请告诉安全管理员"


@transaction.atomic
def approve(correction: Correction, *, by: Staff, at: datetime) -> Patient:
    """
    Let the patient be what was asked for.

    :raises NotCleared: `by` is not cleared for what identifies a person
    :raises SamePerson, NotOpen:
    :raises Unreadable: the record was erased, or cannot be still_open
    :raises Taken: the document became another patient's meanwhile
    :raises Doubtful: the record is not what the trail says was verified
    :raises Restricted: nothing may be done with this record
    """
    demand_cleared(by)
    correction = holding.still_open(correction)
    if correction.asked_by == by.pk:
        raise SamePerson
    with enrolment.legible():
        person = holding.wanted(correction)
        # Before the patient's row: whoever makes another of that name locks in this order.
        likenesses.wait_turn(person.real_name, born=person.born)
        patient = Patient.objects.select_for_update().get(pk=correction.patient_id)
        demand_unrestricted(patient)
        if identity.agrees(patient) is False:
            raise Doubtful
        fields = differing(patient, person)
        _apply(patient, person)
    holding.end(correction, State.DONE, by=by, at=at)
    Identification.objects.create(
        patient=patient,
        method=Identification.Method.MANUAL,
        evidence=correction.evidence,
        by=correction.asked_by,
        at=at,
    )
    record(
        Action.PATIENT_CORRECT,
        by=by,
        on=patient,
        at=at,
        fields=fields,
        correction=correction.pk,
        identity=identity.commit(patient),
    )
    likenesses.find(patient, by=by, at=at)
    handing_off.owe(patient, at=at)
    return patient


@transaction.atomic
def refuse(correction: Correction, *, by: Staff, at: datetime) -> None:
    """
    Leave the patient as they are; what was asked for is gone.

    :raises NotCleared: `by` is not cleared for what identifies a person
    :raises SamePerson, NotOpen:
    """
    demand_cleared(by)
    correction = holding.still_open(correction)
    if correction.asked_by == by.pk:
        raise SamePerson
    holding.end(correction, State.REFUSED, by=by, at=at)


@transaction.atomic
def withdraw(correction: Correction, *, by: Staff, at: datetime) -> None:
    """
    Take a request back.

    :raises NotAsker, NotOpen:
    """
    correction = holding.still_open(correction)
    if correction.asked_by != by.pk:
        raise NotAsker
    holding.end(correction, State.WITHDRAWN, by=by, at=at)


def _apply(patient: Patient, person: Person) -> None:
    patient.real_name = person.real_name or patient.real_name
    patient.document_type = person.document_type
    patient.document_number = person.document_number or None
    patient.birth_date = enrolment.stated_birth_date(person)
    patient.thinned_at = None  # it is whole again, and its digests are made anew
    try:
        with transaction.atomic():
            patient.save()
    except IntegrityError:
        raise Taken from None  # the unique index on the document decided
