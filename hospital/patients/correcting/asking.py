"""Somebody at the desk asks for a record to say something else."""

from datetime import date, datetime, timedelta
from typing import Final

from django.db import IntegrityError, transaction

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.patients import enrolment, plausible
from hospital.patients.correcting import likening
from hospital.patients.correcting.comparing import differing
from hospital.patients.correcting.counting import ASKS, UNTOLD, TooManyAsked, counted
from hospital.patients.correcting.judging import TellsWho, demand_sound
from hospital.patients.correcting.seeing import demand_cleared
from hospital.patients.enrolment import Person
from hospital.patients.models import Correction, Identification, Likeness, Patient
from hospital.patients.restriction import demand_unrestricted

Evidence = Identification.Evidence

_DAY: Final = timedelta(days=1)


class NothingToCorrect(Refusal):
    code = "nothing_to_correct"
    message = "填写的内容与档案相同，没有需要更正的"


class AlreadyAsked(Refusal):
    code = "correction_already_asked"
    message = "这位患者已有一项更正在等待复核"


def ask(
    patient: Patient,
    person: Person,
    *,
    evidence: Evidence,
    reason: str,
    by: Staff,
    at: datetime,
    today: date,
) -> Correction | Likeness:
    """
    Ask for `patient` to be `person`; where that is somebody on record, note the likeness.

    :raises NotCleared: `by` is not cleared for what identifies a person
    :raises Implausible, Unsuited, NoReason, TellsWho, Numbered: nothing has changed
    :raises Restricted: nothing may be done with this record
    :raises TooManyAsked: `ASKS` a day, whatever came of them
    :raises NothingToCorrect, Anothers, AlreadyAsked, Unreadable: that it was asked for is on record
    """
    demand_cleared(by)
    demand_unrestricted(patient)
    demand_sound(patient, person, evidence=evidence, reason=reason, today=today)
    with transaction.atomic():
        # Two windows of one person wait here for each other: the last one left is asked once.
        Staff.objects.select_for_update(no_key=True).get(pk=by.pk)
        before = counted(by, since=at - _DAY)
        try:
            with transaction.atomic(), enrolment.legible():
                if before >= ASKS:
                    raise TooManyAsked
                return _ask(patient, person, evidence=evidence, reason=reason, by=by, at=at)
        except Refusal as exc:
            refusal = exc
        if before <= ASKS:  # the first that was too many, and not all that follow
            record(
                Action.CORRECTION_ASK,
                by=by,
                on=patient,
                at=at,
                outcome="denied",
                patient=patient.pk,
                evidence=evidence.value,
                reason=UNTOLD,
            )
    raise refusal


def _ask(
    patient: Patient, person: Person, *, evidence: Evidence, reason: str, by: Staff, at: datetime
) -> Correction | Likeness:
    if not (fields := differing(patient, person)):
        raise NothingToCorrect
    if plausible.tells_who(reason, patient.real_name or ""):
        raise TellsWho
    if holder := enrolment.known(person).exclude(pk=patient.pk).first():
        return likening.note(patient, person, holder, evidence=evidence, by=by, at=at)
    correction = Correction(
        patient=patient,
        real_name=person.real_name,
        document_type=person.document_type,
        document_number=person.document_number or None,
        birth_date=enrolment.stated_birth_date(person),
        evidence=evidence,
        reason=reason.strip(),
        asked_by=by.pk,
        asked_at=at,
    )
    try:
        with transaction.atomic():
            correction.save(force_insert=True)
    except IntegrityError:
        raise AlreadyAsked from None
    record(
        Action.CORRECTION_ASK,
        by=by,
        on=correction,
        at=at,
        fields=fields,
        patient=patient.pk,
        evidence=evidence.value,
        reason=reason.strip(),
    )
    return correction
