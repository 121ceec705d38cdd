"""An entry goes on record, once, however often it is sent."""

from dataclasses import replace
from datetime import date, datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from hospital import policy
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.crypto.normalising import person_name
from hospital.errors import Refusal
from hospital.patients import documents, enrolment
from hospital.patients.enrolment import Person
from hospital.patients.models import Patient, Registration
from hospital.patients.registering import holding
from hospital.patients.registering.entry import Entry
from hospital.patients.registering.facts import stated
from hospital.patients.registering.judging import demand_sound, needs_guardian
from hospital.patients.registering.onboarding import demand_new, onboard

State = Registration.State


class Used(Refusal):
    code = "token_used"
    message = "这张登记单已提交过，请重新打开登记页"


@transaction.atomic
def enter(
    entry: Entry, *, by: Staff, at: datetime, today: date, session: UUID | None, anyway: bool
) -> Registration:
    """
    Put on record what was entered; and the patient too, unless a colleague has to look first.

    :param session: the face session it was taken over from; settling it is the caller's
    :param anyway: who is alike was looked at, and is somebody else
    :raises Implausible, Unsuited, GuardianNeeded, NoCampus: nothing has changed
    :raises Known, NameDiffers, Unreadable: the document is somebody's
    :raises Alike: unless `anyway`
    :raises Used: another submission had this token, or one that said something else
    """
    demand_sound(entry, by=by, today=today)
    registration = Registration(
        pk=entry.token,
        state=State.WAITING,
        cause=entry.cause,
        evidence=entry.evidence,
        campus=by.campus,
        document_type=entry.person.document_type,
        session=session,
        entered_by=by.pk,
        entered_at=at,
    )
    is_looked_at = bool(policy.value("SECOND_LOOK"))
    if is_looked_at:
        holding.write(registration, entry.person)
    try:
        with transaction.atomic():
            registration.save(force_insert=True)
    except IntegrityError:
        return _entered_before(entry, session=session, by=by)
    demand_new(entry.person, anyway=anyway)
    record(
        Action.REGISTRATION_ENTER,
        by=by,
        on=registration,
        at=at,
        cause=entry.cause.value,
        evidence=entry.evidence.value,
        guardian=entry.guardian_agrees and needs_guardian(entry.person, entry.cause, today=today),
        document_type=entry.person.document_type,
        **stated(session=session),
    )
    if not is_looked_at:
        onboard(registration, entry.person, by=by, at=at)
    return registration


def _entered_before(entry: Entry, *, session: UUID | None, by: Staff) -> Registration:
    before = Registration.objects.select_related("patient").filter(
        pk=entry.token,
        entered_by=by.pk,
        cause=entry.cause,
        evidence=entry.evidence,
        session=session,
    )
    found = before.first()
    if found is None or not _is_of(found, entry.person):
        raise Used
    return found


def _is_of(registration: Registration, person: Person) -> bool:
    """Whether this was entered, or became, the same person; of nobody who cannot be read."""
    patient = registration.patient
    if patient is None and registration.state != State.WAITING:
        return False
    try:
        with enrolment.legible():
            if patient is None:
                return _parts(holding.read(registration)) == _parts(person)
            name = person.real_name or documents.temporary_name(patient.number)
            return _parts(_on_record(patient)) == _parts(replace(person, real_name=name))
    except enrolment.Unreadable:
        return False


def _on_record(patient: Patient) -> Person:
    return Person(
        real_name=patient.real_name or "",
        document_type=patient.document_type,
        document_number=patient.document_number or "",
        birth_date=patient.born,
    )


def _parts(person: Person) -> tuple[str, int, str, date | None]:
    kind = person.document_type
    number = documents.canonical_number(kind, person.document_number)
    return person_name(person.real_name), kind, number, person.born
