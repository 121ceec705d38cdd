"""Whom a form asks about: a search like any other."""

from datetime import datetime

from django.db import transaction

from hospital import labels
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.patients import enrolment, finding, likenesses
from hospital.patients.enrolment import Person
from hospital.patients.models import Patient


def look_up(person: Person, *, by: Staff, at: datetime) -> list[Patient]:
    """
    Return whom this form asks about: who has the document, or else who is alike.

    It is a search, bounded and on record like any other, whatever becomes of the form: call it
    before `enter` and `attend_known`, outside of their transaction.

    :raises NotCleared: `by` is not cleared for patients at all
    :raises TooOften: they searched more often within a minute than a person can
    """
    labels.demand(by, "patients.patient")
    finding.take_turn(by, at)
    found = list(enrolment.known(person)) or list(
        likenesses.alike(person.real_name, born=person.born)
    )
    with transaction.atomic():
        record(
            Action.PATIENT_SEARCH,
            by=by,
            on=None,
            at=at,
            kind="register",
            count=len(found),
            subjects={patient.pk for patient in found},
            shown=[],  # a look of its own, if it comes to one
        )
    return found
