"""
Who a patient was verified to be, as the trail commits to it: nobody can swap the name afterwards.

Each onboarding states a digest over document and name. Whoever changes the sealed name later, with
all the keys, cannot change what was stated; and whoever reads the digest learns nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from hospital.audit import canonical, commitments
from hospital.audit.models import Event
from hospital.audit.stated import facts
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.normalising import person_name
from hospital.crypto.sealing import Unopenable
from hospital.patients import documents, viewing
from hospital.patients.models import Patient

_CHUNK: Final = 500  # patients whose keys and events are read at once


def commit(patient: Patient) -> str:
    """Return the digest to state in the trail: the identity that was just verified."""
    return commitments.commit(_identity(patient), subject=patient.pk)


def compared() -> Iterator[tuple[Patient, bool | None]]:
    """
    Yield every patient, and whether the record says who was verified.

    None: nothing is stated (any more), or the patient is erased. A digest whose salt is gone while
    the record is there agrees with nothing.
    """
    after = UUID(int=0)
    while patients := list(Patient.objects.filter(pk__gt=after).order_by("pk")[:_CHUNK]):
        viewing.prepare(patients)
        stated = _stated([patient.pk for patient in patients])
        for patient in patients:
            yield patient, _agrees(patient, stated[patient.pk])
        after = patients[-1].pk


def _agrees(patient: Patient, digests: Sequence[str]) -> bool | None:
    try:
        identity = _identity(patient)
    except SubjectForgotten:
        return None
    except Unopenable:
        return False
    return all(commitments.opens(one, identity) for one in digests) if digests else None


def _identity(patient: Patient) -> str:
    kind, number = patient.document_type, patient.document_number or ""
    return canonical.line(
        {
            "document": documents.family(kind),
            "name": person_name(patient.real_name or ""),
            "number": documents.canonical_number(kind, number),
        }
    )


def _stated(patients: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Return the digests the trail states of each patient."""
    events = Event.objects.filter(
        object_type=Patient._meta.label_lower,
        object_id__in=[str(pk) for pk in patients],
        action="patient.onboard",
    )
    found: dict[UUID, list[str]] = defaultdict(list)
    for patient, payload in events.values_list("object_id", "payload"):
        # A forged digest is one that does not agree; a forged line without one says nothing.
        digest = facts(payload).get("identity")
        if isinstance(digest, str) and digest:
            found[UUID(patient)].append(digest)
    return found
