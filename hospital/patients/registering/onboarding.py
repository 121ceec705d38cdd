"""Who was entered becomes a patient, if they are none yet."""

from datetime import datetime
from uuid import UUID

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.patients import enrolment, identity, likenesses
from hospital.patients.attendance import attend
from hospital.patients.enrolment import Person
from hospital.patients.models import Identification, Patient, Registration
from hospital.patients.registering import holding
from hospital.patients.registering.facts import stated

Evidence = Identification.Evidence
State = Registration.State


class Known(Refusal):
    """There is nothing to create: `patient` has this document."""

    code = "document_known"
    message = "该证件已有档案，没有新建"

    def __init__(self, patient: Patient) -> None:
        super().__init__()
        self.patient = patient


class Alike(Refusal):
    """Somebody of the same name and birth date is on record: `patients`. A person judges."""

    code = "likely_known"
    message = "已有姓名和出生日期相同的患者，请先核对"

    def __init__(self, patients: list[Patient]) -> None:
        super().__init__()
        self.patients = patients


def demand_new(person: Person, *, anyway: bool) -> None:
    """:raises Known, NameDiffers, Unreadable, Alike: the last unless `anyway`"""
    likenesses.wait_turn(person.real_name, born=person.born)
    if patient := enrolment.known(person).first():
        with enrolment.legible():
            enrolment.demand_same_name(patient, person)
        raise Known(patient)
    if not anyway and (found := list(likenesses.alike(person.real_name, born=person.born))):
        raise Alike(found)


def onboard(registration: Registration, person: Person, *, by: Staff, at: datetime) -> Patient:
    """:raises Known, NameDiffers, NotWaiting: somebody else was faster"""
    patient, is_new = enrolment.create(person, at=at)
    if not is_new:
        enrolment.demand_same_name(patient, person)
        raise Known(patient)
    attend(patient, campus=registration.campus, at=at)
    # Who had the original before them, not who looked at it a second time.
    evidence = Evidence(registration.evidence)
    identified(patient, evidence, by=registration.entered_by, at=at)
    likenesses.find(patient, by=by, at=at)
    registration.patient = patient
    holding.end(registration, State.DONE)
    record(
        Action.PATIENT_ONBOARD,
        by=by,
        on=patient,
        at=at,
        is_new=True,
        document_type=person.document_type,
        method=Identification.Method.MANUAL.value,
        evidence=evidence.value,
        registration=registration.pk,
        identity=identity.commit(patient),
        **stated(session=registration.session),
    )
    return patient


def identified(patient: Patient, evidence: Evidence, *, by: UUID, at: datetime) -> None:
    """Note by whom, and on what evidence, this patient was identified."""
    Identification.objects.create(
        patient=patient, method=Identification.Method.MANUAL, evidence=evidence, by=by, at=at
    )
