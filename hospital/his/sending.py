"""What is owed to the hospital's own system is sent, one patient after another."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.core.cache import cache
from django.db import transaction

from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.sealing import Unopenable
from hospital.errors import Unavailable
from hospital.his import fhir, telling
from hospital.his.client import Wire
from hospital.his.errors import NotNow, Refused
from hospital.patients import handing_off, restriction
from hospital.patients.models import HandOff, Patient
from hospital.privacy import disclosing
from hospital.privacy.models import Disclosure, Erasure

ATTEMPTS: Final = 20
GIVE_UP: Final = timedelta(days=1)
LONGEST_WAIT: Final = 7_200  # seconds between two attempts, unless we are asked to wait longer
HELD: Final = timedelta(hours=1)  # until somebody who may not be sent is looked at again
OURS: Final = timedelta(minutes=1)  # until our own keys may be there again
PAUSE: Final = timedelta(seconds=30)  # after the other system did not answer
ROUND: Final = timedelta(seconds=20)
AT_ONCE: Final = 200  # hand-offs a round

_PAUSED_UNTIL: Final = "his-paused-until"

Clock = Callable[[], datetime]
Connect = Callable[[], AbstractContextManager[Wire]]


def send_due(*, connect: Connect, clock: Clock) -> None:
    """
    Send what is due, until the other system does not answer.

    One after another and one round at a time: a system that hangs costs the worker one slot, and
    nobody in the lobby waits for it.
    """
    began = clock()
    if began < cache.get(_PAUSED_UNTIL, began):
        return
    if HandOff.objects.waiting().filter(taken_until__gt=began).exists():
        return
    due = HandOff.objects.due(began).order_by("due_at")[:AT_ONCE]
    for pk in due.values_list("pk", flat=True):
        if clock() - began > ROUND:
            return
        if not send(pk, connect=connect, clock=clock):
            cache.set(_PAUSED_UNTIL, clock() + PAUSE, PAUSE.total_seconds())
            return


def send(pk: UUID, *, connect: Connect, clock: Clock) -> bool:
    """
    Send one hand-off that is due. Safe to call any number of times.

    The network is asked outside of any transaction; what is true after its answer is one.

    :return: False if the other system did not answer, and others need not try now
    """
    handoff = HandOff.objects.take(pk, at=clock())
    if handoff is None:
        return True
    if handoff.attempts > ATTEMPTS:  # it ended the worker each time
        handing_off.give_up(handoff, code=handoff.code or "attempts_exhausted", at=clock())
        return True
    if code := _held(handoff.patient):
        handing_off.hold(handoff, code=code, until=clock() + HELD)
        return True
    try:
        ours = _described(handoff)
        told = _tell(handoff, ours, connect=connect)
    except NotNow as exc:
        _failed(handoff, exc.fact, after=exc.after or 0, at=clock())
        return False
    except Refused as exc:
        handing_off.give_up(handoff, code=exc.fact, at=clock())
    except Unavailable:
        handing_off.hold(handoff, code="keys", until=clock() + OURS)
        return False
    else:
        _acknowledge(handoff, told, ours, at=clock())
    return True


def _held(patient: Patient) -> str:
    """Return why nothing of this patient is given to anybody now; "" if nothing stands against."""
    try:
        restriction.demand_unrestricted(patient)
    except restriction.Restricted as exc:
        return exc.code
    cooling = Erasure.objects.filter(subject=patient.pk, state=Erasure.State.COOLING)
    return "erasure" if cooling.exists() else ""


def _described(handoff: HandOff) -> fhir.Described:
    """
    Return what is to be said of the patient.

    :raises Refused: erased, unreadable, thinned, unfit
    """
    patient = handoff.patient
    ended = Erasure.objects.filter(subject=patient.pk).exclude(state=Erasure.State.CANCELLED)
    if ended.exists():
        raise Refused(handing_off.ERASED)
    if patient.thinned_at is not None:
        raise Refused("thinned")
    system = settings.HIS_IDENTIFIER_SYSTEM
    try:
        return fhir.described(patient, system=system, source=f"{system}#{handoff.pk}")
    except SubjectForgotten:
        fact = handing_off.ERASED
    except Unopenable:
        fact = "unreadable"
    raise Refused(fact)


def _tell(handoff: HandOff, ours: fhir.Described, *, connect: Connect) -> telling.Told:
    with connect() as wire:
        return telling.tell(
            wire,
            ours.resource,
            system=settings.HIS_IDENTIFIER_SYSTEM,
            number=handoff.patient.number,
            his_patient_id=handing_off.known_number(handoff.patient),
            budget=settings.HIS_TIMEOUT,
        )


@transaction.atomic
def _acknowledge(
    handoff: HandOff, told: telling.Told, ours: fhir.Described, *, at: datetime
) -> None:
    given = {}
    if told.given:  # noted even if the hand-off is another's by now: it was given
        given["disclosure"] = disclosing.note(
            Disclosure.Recipient.HIS,
            purpose="handoff",
            fields=ours.fields,
            subject=handoff.patient_id,
            at=at,
        ).pk
    handing_off.acknowledge(handoff, his_patient_id=told.his_patient_id, at=at, **given)


def _failed(handoff: HandOff, code: str, *, after: float, at: datetime) -> None:
    wait = max(after, min(2**handoff.attempts, LONGEST_WAIT))
    until = at + timedelta(seconds=wait)
    is_late = until - (handoff.since or handoff.created_at) > GIVE_UP
    if is_late or handoff.attempts >= ATTEMPTS:
        handing_off.give_up(handoff, code=code, at=at)
    else:
        handing_off.postpone(handoff, code=code, until=until, at=at)
