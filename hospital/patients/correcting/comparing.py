"""What is to change: the record beside what was asked for."""

from dataclasses import dataclass
from typing import Final

from hospital.patients import documents, enrolment
from hospital.patients.correcting import holding
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import Correction, Patient

_BORN: Final = "********"


@dataclass(frozen=True)
class Change:
    """
    One value that is to change, as it is and as it is to be: both as any page shows them.

    Never cut to where they differ: who may ask again and again would read the old one by that.
    """

    label: str
    before: str
    after: str

    @property
    def is_hidden(self) -> bool:
        """Whether they differ in what is not shown."""
        return self.before == self.after


def changes(correction: Correction) -> list[Change]:
    """
    Return what an open request is to change, masked.

    :raises Unreadable: the record was erased, or cannot be opened
    """
    with enrolment.legible():
        patient, person = correction.patient, holding.wanted(correction)
        fields = differing(patient, person)
        both = {
            "real_name": ("姓名", patient.masked_name, documents.masked_name(person.real_name)),
            "document_type": (
                "证件类型",
                *(str(DocumentType(one).label) for one in _types(patient, person)),
            ),
            "document_number": (
                "证件号码",
                _masked_number(patient.document_number or ""),
                _masked_number(person.document_number),
            ),
            "birth_date": ("出生日期", _BORN if patient.born else "", _BORN if person.born else ""),
        }
        return [Change(*both[name]) for name in fields]


def differing(patient: Patient, person: Person) -> list[str]:
    """Return which values are to change, by the names of their columns."""
    old, new = _types(patient, person)
    before = documents.canonical_number(old, patient.document_number or "")
    pairs = {
        # As it is written: a spelling is worth a correction. Who has none yet keeps the temporary.
        "real_name": (patient.real_name, person.real_name or patient.real_name),
        "document_type": (old, new),
        "document_number": (before, documents.canonical_number(new, person.document_number)),
        "birth_date": (patient.born, person.born),
    }
    return [name for name, (one, other) in pairs.items() if one != other]


def _types(patient: Patient, person: Person) -> tuple[int, int]:
    return patient.document_type, person.document_type


def _masked_number(number: str) -> str:
    return documents.masked_number(number) if number else ""
