"""What a colleague enters once more from the original, and whether it is the same."""

from hospital.crypto.normalising import person_name
from hospital.patients import documents, plausible
from hospital.patients.documents import WITHOUT_NUMBER, WORDED
from hospital.patients.enrolment import Person
from hospital.patients.models import Registration


def repeated(registration: Registration) -> str:
    """Return what a colleague has to enter once more: "number", "name", or "" for nothing."""
    if registration.document_type not in WITHOUT_NUMBER:
        return "number"
    return "name" if registration.real_name else ""


def repeats_birth(registration: Registration) -> bool:
    """Return whether a colleague has to enter the birth date once more."""
    return registration.birth_date is not None


def repeats(person: Person, again: str) -> bool:
    """Return whether a colleague read the same number or name."""
    kind = person.document_type
    if person.document_number:
        number = documents.canonical_number(kind, person.document_number)
        read, name = (again, "") if kind in WORDED else documents.scanned(again)
        if documents.canonical_number(kind, read) != number:
            return False
        return not name or _is_name(name, person)
    return _is_name(again, person)


def _is_name(name: str, person: Person) -> bool:
    return person_name(plausible.clean_name(name)) == person_name(person.real_name)
