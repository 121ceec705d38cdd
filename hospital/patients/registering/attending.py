"""Who is on record already: known at this campus as well, and nobody is created."""

from datetime import date, datetime

from django.db import transaction

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.patients import enrolment
from hospital.patients.attendance import attend
from hospital.patients.models import Patient
from hospital.patients.registering.entry import Entry
from hospital.patients.registering.judging import demand_sound
from hospital.patients.registering.onboarding import identified
from hospital.patients.restriction import demand_unrestricted


class Unknown(Refusal):
    code = "document_unknown"
    message = "没有这个证件的档案，请核对后重新提交"


@transaction.atomic
def attend_known(entry: Entry, *, by: Staff, at: datetime, today: date) -> Patient:
    """
    Return who has this document, known at this campus from now on; nobody is created.

    :raises Implausible, Unsuited, GuardianNeeded, NoCampus: nothing has changed
    :raises NameDiffers, Unreadable: the document is on record under another name, or not to be read
    :raises Restricted: nothing may be done with the record
    :raises Unknown: nobody has it
    """
    demand_sound(entry, by=by, today=today)
    patient = enrolment.known(entry.person).first()
    if patient is None:
        raise Unknown
    demand_unrestricted(patient)
    with enrolment.legible():
        enrolment.demand_same_name(patient, entry.person)
    attend(patient, campus=by.campus, at=at)
    identified(patient, entry.evidence, by=by.pk, at=at)
    record(Action.PATIENT_ATTEND, by=by, on=patient, at=at, campus=by.campus)
    return patient
