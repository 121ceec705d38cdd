"""Where a patient is known: the desk of a campus sees whoever came to it, and nobody else."""

from datetime import datetime

from django.db.models import Q

from hospital.patients.models import Patient, WechatAccount


def attend(patient: Patient, *, campus: str, at: datetime) -> bool:
    """
    Note that `patient` is at `campus` now; return whether that is new.

    What brought them there is recorded by whoever calls this, and names the patient.

    :param campus: a code of `settings.CAMPUSES`
    """
    _, is_new = patient.attendances.get_or_create(campus=campus, defaults={"since": at})
    if patient.last_visit_at is not None and patient.last_visit_at >= at:
        return is_new
    earlier = Q(last_visit_at=None) | Q(last_visit_at__lt=at)
    if Patient.objects.filter(earlier, pk=patient.pk).update(last_visit_at=at):
        patient.last_visit_at = at
    return is_new


def recognised(patient: Patient, *, at: datetime) -> None:
    """Note that WeChat led to `patient`: what links them to it is of use."""
    WechatAccount.objects.filter(patient=patient).update(last_used_at=at)
