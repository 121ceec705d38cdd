"""
精简: the hospital's own system has acknowledged who a patient is, and keeps it from now on.

What stays here is the number, what a mask shows, and the digests by which the same document finds
the same record; the name in full, the document number and the birth date go.
"""

from datetime import datetime

from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto.fields import SealedField
from hospital.errors import Refusal
from hospital.patients import documents, enrolment
from hospital.patients.models import HandOff, Patient
from hospital.patients.restriction import demand_unrestricted
from hospital.privacy import holding


class NotHandedOff(Refusal):
    code = "thin_not_handed_off"
    message = "HIS 还没有确认该患者的最新信息，不能精简"


@transaction.atomic
def thin(patient: Patient, *, at: datetime) -> None:
    """
    Drop what the hospital's own system keeps; thinned twice is once.

    :raises Held, Restricted: nothing may be done with this record
    :raises NotHandedOff: the hospital's system does not know who this is now
    :raises Unreadable: the record was erased
    """
    patient = Patient.objects.select_for_update().get(pk=patient.pk)
    if patient.thinned_at is not None:
        return
    holding.demand_free(patient.pk, at=at)
    demand_unrestricted(patient)
    newest = HandOff.objects.filter(patient=patient).order_by("-id").first()
    if newest is None or newest.state != HandOff.State.DONE:
        raise NotHandedOff
    with enrolment.legible():
        patient.real_name = documents.masked_name(patient.real_name or "")
        column = Patient._meta.get_field("real_name")
        assert isinstance(column, SealedField)  # noqa: S101 (it is)
        masked = column.pre_save(patient, add=False)
    # `update` leaves the digests as they are: by them the same document finds the same record.
    Patient.objects.filter(pk=patient.pk).update(
        real_name=masked, document_number=None, birth_date=None, thinned_at=at
    )
    record(Action.PATIENT_THIN, by=SYSTEM, on=patient, at=at, handoff=newest.pk)
