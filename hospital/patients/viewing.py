"""Whoever looks at patients, even masked ones, is on record: one event per answer."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.recording import HasActor, record
from hospital.crypto import keyring
from hospital.patients.models import Patient


def prepare(patients: Sequence[Patient]) -> None:
    """Fetch the keys of all these patients at once, before their names are opened one by one."""
    keyring.prefetch(patient.pk for patient in patients)


def looked(patients: Sequence[Patient], *, by: HasActor, at: datetime) -> None:
    """Record that `by` is shown these patients, before anything is rendered."""
    if not patients:
        return
    with transaction.atomic():
        record(
            Action.PATIENT_VIEW,
            by=by,
            on=patients[0] if len(patients) == 1 else None,
            at=at,
            count=len(patients),
            subjects={patient.pk for patient in patients},
        )
