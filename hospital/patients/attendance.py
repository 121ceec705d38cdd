"""Where a patient is known: the desk of a campus sees whoever came to it, and nobody else."""

from datetime import datetime

from hospital.patients.models import Patient


def attend(patient: Patient, *, campus: str, at: datetime) -> bool:
    """
    Note that `patient` is known at `campus`; return whether that is new.

    What brought them there is recorded by whoever calls this, and names the patient.

    :param campus: a code of `settings.CAMPUSES`
    """
    _, is_new = patient.attendances.get_or_create(campus=campus, defaults={"since": at})
    return is_new
