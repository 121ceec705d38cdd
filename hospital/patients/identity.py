"""
Who a patient was verified to be, as the trail commits to it: nobody can swap the name afterwards.

Each onboarding states a digest over document and name, and so does each correction, which stands
for all that was stated before it. Whoever changes the sealed name later, with all the keys, cannot
change what was stated; and whoever reads the digest learns nothing.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

from hospital.audit import canonical, commitments, lines
from hospital.audit.actions import Action
from hospital.audit.models import Commitment, Event
from hospital.audit.reading import Line
from hospital.audit.stated import facts
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.normalising import person_name
from hospital.crypto.sealing import Unopenable
from hospital.patients import documents, viewing
from hospital.patients.models import Patient

_ONBOARD: Final = Action.PATIENT_ONBOARD.value.tag
_CORRECT: Final = Action.PATIENT_CORRECT.value.tag
_CHUNK: Final = 500  # patients whose keys and events are read at once


def commit(patient: Patient) -> str:
    """Return the digest to state in the trail: the identity that was just verified."""
    return commitments.commit(_identity(patient), subject=patient.pk)


def commitment(patient: Patient) -> Commitment:
    """Do as `commit`, for who writes the digest's salt with the event that states it."""
    return commitments.commitment(_identity(patient), subject=patient.pk)


def compared() -> Iterator[tuple[Patient, bool | None]]:
    """
    Yield every patient, and whether the record says who was verified.

    None: nothing is stated (any more), or the patient is erased, or thinned. A digest whose salt
    is gone while the record is there agrees with nothing.
    """
    after = UUID(int=0)
    while patients := list(Patient.objects.filter(pk__gt=after).order_by("pk")[:_CHUNK]):
        viewing.prepare(patients)
        stated = _stated([patient.pk for patient in patients])
        salts = commitments.salts([digest for said in stated.values() for digest in said])
        for patient in patients:
            yield patient, _agrees(patient, stated[patient.pk], salts)
        after = patients[-1].pk


def agrees(patient: Patient) -> bool | None:
    """Return whether this record says who was verified; see `compared`."""
    digests = _stated([patient.pk])[patient.pk]
    return _agrees(patient, digests, commitments.salts(digests))


def _agrees(patient: Patient, digests: Sequence[str], salts: Mapping[str, bytes]) -> bool | None:
    if patient.thinned_at is not None:  # what was committed to is the hospital's own system's
        return None
    try:
        identity = _identity(patient)
    except SubjectForgotten:
        return None
    except Unopenable:
        return False
    if not digests:
        return None
    return all(commitments.opened(one, identity, salt=salts.get(one)) for one in digests)


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
    """
    Return the digests the trail states of each patient, since they were last corrected.

    What is not by our key counts as a digest that agrees with nothing: it vouches for nobody.
    """
    events = Event.objects.filter(
        object_type=Patient._meta.label_lower,
        object_id__in=[str(pk) for pk in patients],
        action__in=[_ONBOARD, _CORRECT],
    )
    found: dict[UUID, list[str]] = defaultdict(list)
    for row in events.order_by("id").values_list(*Line._fields):
        line = Line(*row)
        # A forged digest is one that does not agree; a forged line without one says nothing.
        digest, patient = facts(line.payload).get("identity"), UUID(line.object_id)
        if not isinstance(digest, str) or not digest:
            continue
        if line.action == _CORRECT:
            found[patient].clear()
        found[patient].append(digest if lines.is_coded(line) else "")
    return found
