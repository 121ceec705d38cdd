"""
Finding patients by part of a name.

No index does that: one that could would be read back by counting surnames. The names of a set
that something else has narrowed already (a day, a store) are opened and compared in memory.
"""

from datetime import datetime
from typing import Final

from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.recording import HasActor, record
from hospital.crypto.normalising import person_name
from hospital.crypto.sealing import Unopenable
from hospital.errors import Refusal
from hospital.patients.models import Patient, PatientQuerySet

CAP: Final = 20_000  # patients opened by one search


class TooMany(Refusal):
    """The set is not narrow enough; nothing was opened."""

    code = "too_many"
    message = "范围过大，请先缩小日期或门店范围再按姓名查找"


def by_part_of_name(
    among: PatientQuerySet, part: str, *, by: HasActor, at: datetime
) -> list[Patient]:
    """
    Return those whose name contains `part`, in any spelling; who looked is on record.

    The event names who was found, and how many were opened; never what was looked for.
    Patients who were forgotten, or whose name does not open, are not found.

    :raises TooMany: more than `CAP` patients would be opened
    :raises KeyUnavailable: no names can be opened now
    """
    patients = list(among.order_by()[: CAP + 1])
    if len(patients) > CAP:
        raise TooMany
    wanted = person_name(part)
    found = [patient for patient in patients if wanted in _name_of(patient)] if wanted else []
    with transaction.atomic():
        record(
            Action.PATIENT_SEARCH,
            by=by,
            on=None,
            at=at,
            opened=len(patients),
            count=len(found),
            subjects={patient.pk for patient in found},
        )
    return found


def _name_of(patient: Patient) -> str:
    try:
        return person_name(patient.real_name or "")
    except Unopenable:
        return ""
