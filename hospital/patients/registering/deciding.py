"""The second look: a colleague makes the patient who was entered, or sends the entry back."""

from datetime import date, datetime

from django.db import transaction

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.patients import plausible
from hospital.patients.models import Patient, Registration
from hospital.patients.registering import holding
from hospital.patients.registering.holding import NotWaiting
from hospital.patients.registering.onboarding import demand_new, onboard
from hospital.patients.registering.repeating import repeats, repeats_birth

State = Registration.State


class OwnEntry(Refusal):
    code = "registration_own"
    message = "登记人不能复核自己登记的患者，请另一位同事复核"


class DoesNotRepeat(Refusal):
    code = "does_not_repeat"
    message = "与登记的不一致：请对照原件再输入一次；仍不一致请退回"


class NoNote(Refusal):
    code = "no_note"
    message = "请写明退回原因"


class TellsWho(Refusal):
    """What is written there is read by many, and stays."""

    code = "note_tells_who"
    message = "退回原因中请勿写姓名或证件号码"


@transaction.atomic
def confirm(
    registration: Registration, *, again: str, born: date | None = None, by: Staff, at: datetime
) -> Patient:
    """
    Make the patient a colleague entered, once somebody else has read the original too.

    :param again: the number as read from the original, or what stands for it: see `repeated`
    :param born: the birth date, where the number does not say it: see `repeats_birth`
    :raises OwnEntry, NotWaiting, DoesNotRepeat:
    :raises Known, NameDiffers: the document became somebody's meanwhile
    """
    registration = _waiting(registration, by=by)
    person = holding.read(registration)
    if not repeats(person, again) or (repeats_birth(registration) and born != person.born):
        raise DoesNotRepeat
    demand_new(person, anyway=True)
    registration.looked_by, registration.looked_at = by.pk, at
    patient = onboard(registration, person, by=by, at=at)
    record(
        Action.REGISTRATION_DECIDE,
        by=by,
        on=registration,
        at=at,
        decision=State.DONE.value,
        patient=patient.pk,
    )
    return patient


@transaction.atomic
def send_back(registration: Registration, *, note: str, by: Staff, at: datetime) -> None:
    """
    End it without a patient, and say why; what was entered is gone.

    :raises OwnEntry, NotWaiting, NoNote:
    :raises TellsWho: there is a number in the note, or the name that was entered
    """
    registration = _waiting(registration, by=by)
    if not note.strip():
        raise NoNote
    if plausible.tells_who(note, registration.real_name or ""):
        raise TellsWho
    registration.looked_by, registration.looked_at, registration.note = by.pk, at, note.strip()
    holding.end(registration, State.RETURNED)
    decision = State.RETURNED.value
    record(Action.REGISTRATION_DECIDE, by=by, on=registration, at=at, decision=decision)


def _waiting(registration: Registration, *, by: Staff) -> Registration:
    if registration.entered_by == by.pk:
        raise OwnEntry
    locked = Registration.objects.select_for_update().filter(
        pk=registration.pk, state=State.WAITING
    )
    found = locked.first()
    if found is None:
        raise NotWaiting
    return found
