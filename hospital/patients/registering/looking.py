"""Who sees which registrations, and what of them."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from hospital import labels
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.facts import Shown
from hospital.audit.recording import record
from hospital.patients import documents
from hospital.patients.models import Registration
from hospital.patients.registering import holding


def seen_by(staff: Staff) -> QuerySet[Registration]:
    """
    Return the registrations of this member of staff's campus.

    :raises NotCleared: they are not cleared for patients at all
    """
    labels.demand(staff, "patients.patient")
    if not staff.campus:
        return Registration.objects.none()
    return Registration.objects.filter(campus=staff.campus)


@transaction.atomic
def look(registration: Registration, *, by: Staff, at: datetime) -> dict[str, str]:
    """Return what was entered, masked; that `by` is shown it is on record."""
    record(
        Action.PATIENT_VIEW,
        by=by,
        on=registration,
        at=at,
        count=1,
        subjects=[registration.pk],
        shown=[Shown.NAME_MASKED, Shown.DOCUMENT_TYPE, Shown.DOCUMENT_MASKED],
    )
    person = holding.read(registration)
    number = documents.masked_number(person.document_number) if person.document_number else ""
    return {
        "姓名": documents.masked_name(person.real_name) if person.real_name else "（未知）",
        "证件类型": registration.get_document_type_display(),
        "证件号码": number or "（无）",
    }
