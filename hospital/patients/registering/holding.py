"""What a registration holds of somebody, until they are a patient or sent away."""

from datetime import date
from typing import Final

from hospital.errors import Refusal
from hospital.patients import enrolment
from hospital.patients.enrolment import Person
from hospital.patients.models import Registration

State = Registration.State

_DROPPED: Final = {"real_name": None, "document_number": None, "birth_date": None}


class NotWaiting(Refusal):
    code = "registration_not_waiting"
    message = "这张登记单已处理过"


def write(registration: Registration, person: Person) -> None:
    """Hold it: the caller saves the row."""
    registration.real_name = person.real_name or None
    registration.document_number = person.document_number or None
    registration.birth_date = enrolment.stated_birth_date(person)


def read(registration: Registration) -> Person:
    """Return whom a registration that waits is about."""
    born = registration.birth_date
    return Person(
        real_name=registration.real_name or "",
        document_type=registration.document_type,
        document_number=registration.document_number or "",
        birth_date=date.fromisoformat(born) if born else None,
    )


def end(registration: Registration, state: State) -> None:
    """Compare and set; the values it held are the patient's now, or nobody's."""
    here = Registration.objects.filter(pk=registration.pk, state=State.WAITING)
    moved = here.update(
        state=state,
        patient=registration.patient,
        looked_by=registration.looked_by,
        looked_at=registration.looked_at,
        note=registration.note,
        **_DROPPED,
    )
    if not moved:
        raise NotWaiting
    registration.refresh_from_db()
