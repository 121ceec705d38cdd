"""Who may ask for and decide on corrections, and whose they see."""

from typing import Final

from django.db.models import Exists, OuterRef, QuerySet

from hospital import labels
from hospital.accounts.models import Staff
from hospital.patients.correcting.holding import DROPPED
from hospital.patients.models import Attendance, Correction
from hospital.roles import Role

_LABELS: Final = tuple(f"patients.patient.{name}" for name in DROPPED)


def demand_cleared(staff: Staff) -> None:
    """:raises NotCleared: they are not trusted with what a correction is about"""
    for label in _LABELS:
        labels.demand(staff, label)


def seen_by(staff: Staff) -> QuerySet[Correction]:
    """
    Return the corrections of patients this member of staff may know of.

    :raises NotCleared: they are not cleared for patients at all
    """
    labels.demand(staff, "patients.patient")
    corrections = Correction.objects.select_related("patient")
    if staff.role == Role.PRIVACY:  # answers for all of them
        return corrections
    if not staff.campus:
        return corrections.none()
    theirs = Attendance.objects.filter(patient=OuterRef("patient"), campus=staff.campus)
    return corrections.filter(Exists(theirs))
