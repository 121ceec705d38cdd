"""
HIS 移交: what the hospital's own system is still to be told of patients.

Written in the transaction of the change; `hospital.his` works it off. Where no such system is
named (`HIS_FHIR_URL`), nothing is written.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, HasActor, record
from hospital.errors import Refusal
from hospital.patients.models import HandOff, Identification, Patient

State = HandOff.State
ERASED: Final = HandOff.ERASED

OVERDUE: Final = timedelta(minutes=15)  # waiting for longer, somebody may want to know of it


class AlreadyWaiting(Refusal):
    code = "handoff_waiting"
    message = "该患者已有待发送的移交，不必重新移交"


class NotUndelivered(Refusal):
    """Somebody else was faster, or there is nothing left to send."""

    code = "handoff_not_undelivered"
    message = "这一条刚刚处理过，请看最新状态"


class NoGround(Refusal):
    """They took their consent back, and neither agreed since nor were seen at a desk."""

    code = "handoff_no_ground"
    message = "患者已撤回同意，本人未再同意，也未在人工窗口核验证件，不能重新移交"


def owe(patient: Patient, *, at: datetime) -> None:
    """
    Note that the hospital's own system is to be told of `patient`, who is new or has changed.

    One hand-off waits for each patient at most: what is sent is read when it is sent.
    """
    if not settings.HIS_FHIR_URL:
        return
    if HandOff.objects.waiting().filter(patient=patient).update(changes=F("changes") + 1):
        return
    handoff = HandOff.objects.create(patient=patient, created_at=at, due_at=at)
    record(Action.HANDOFF_OWE, by=SYSTEM, on=patient, at=at, handoff=handoff.pk)


def owe_earlier(patients: Iterable[Patient], *, first: datetime, apart: timedelta) -> int:
    """
    Note it of patients who were registered while nobody was to be told; return how many.

    In a transaction that holds them. One is due after the other, so that whoever is new meanwhile
    does not wait for all of them.
    """
    owed = 0
    for patient in patients:
        due = first + owed * apart
        handoff = HandOff.objects.create(patient=patient, created_at=first, since=due, due_at=due)
        record(Action.HANDOFF_OWE, by=SYSTEM, on=patient, at=first, handoff=handoff.pk)
        owed += 1
    return owed


def grounded(patients: QuerySet[Patient]) -> QuerySet[Patient]:
    """Return those whose hand-off something stands on: whose consent stands, or who were seen."""
    seen = Identification.objects.filter(
        Q(method=Identification.Method.MANUAL) | Q(at__gt=OuterRef("consent_withdrawn_at")),
        patient=OuterRef("pk"),
    )
    return patients.filter(Q(consent_withdrawn_at=None) | Exists(seen))


def known_number(patient: Patient) -> str:
    """Return how the hospital's own system called this patient last; "" if it never did."""
    told = HandOff.objects.filter(patient=patient).exclude(his_patient_id="").order_by("-id")
    return told.values_list("his_patient_id", flat=True).first() or ""


@transaction.atomic
def acknowledge(handoff: HandOff, *, his_patient_id: str, at: datetime, **facts: Any) -> bool:
    """
    Note the answer; a patient who changed while it was under way is sent once more.

    :param facts: what else the trail states of it
    :return: False if the hand-off is another worker's by now, or gone
    """
    told = {"his_patient_id": his_patient_id, "acknowledged_at": at, "code": ""}
    ended = _unchanged(handoff).update(
        state=State.DONE, due_at=None, taken_until=None, **told
    ) or _mine(handoff).update(**_anew(at), **told)
    if not ended:
        return False
    record(
        Action.HANDOFF_DONE,
        by=SYSTEM,
        on=handoff,
        at=at,
        patient=handoff.patient_id,
        attempt=handoff.attempts,
        **facts,
    )
    return True


@transaction.atomic
def postpone(handoff: HandOff, *, code: str, until: datetime, at: datetime) -> None:
    """Try again at `until`; that it failed is on record."""
    if _mine(handoff).update(due_at=until, taken_until=None, code=code):
        _record_failure(handoff, code, is_final=False, at=at)


def hold(handoff: HandOff, *, code: str, until: datetime) -> None:
    """Look again at `until`: nothing was tried, and its time has not begun."""
    _mine(handoff).update(
        due_at=until, since=until, taken_until=None, attempts=handoff.attempts - 1, code=code
    )


@transaction.atomic
def give_up(handoff: HandOff, *, code: str, at: datetime) -> None:
    """Leave it to a person, unless the patient changed meanwhile: then it is sent once more."""
    if _unchanged(handoff).update(state=State.DEAD, due_at=None, taken_until=None, code=code):
        _record_failure(handoff, code, is_final=True, at=at)
    else:
        _mine(handoff).update(**_anew(at), code=code)


@transaction.atomic
def stop(patient: Patient, *, code: str, at: datetime) -> None:
    """
    Send nothing more of a patient, until somebody says so.

    What is under way this moment cannot be called back; its answer changes nothing here.
    """
    for handoff in HandOff.objects.waiting().filter(patient=patient).select_for_update():
        HandOff.objects.filter(pk=handoff.pk).update(
            state=State.DEAD, due_at=None, taken_until=None, code=code
        )
        _record_failure(handoff, code, is_final=True, at=at)


@transaction.atomic
def replay(handoff: HandOff, *, by: HasActor, at: datetime) -> None:
    """
    Try again what was given up.

    :raises NoGround: nothing is left to stand on (个人信息保护法 第十五条、第四十七条)
    :raises NotUndelivered:
    :raises AlreadyWaiting: the patient changed meanwhile, and is to be sent anyway
    """
    _demand_ground(handoff)
    given_up = HandOff.objects.filter(pk=handoff.pk, state=State.DEAD).exclude(code=ERASED)
    try:
        with transaction.atomic():
            moved = given_up.update(state=State.WAITING, **_anew(at))
    except IntegrityError:
        raise AlreadyWaiting from None
    if not moved:
        raise NotUndelivered
    record(Action.HANDOFF_REPLAY, by=by, on=handoff, at=at, patient=handoff.patient_id)


def overdue(handoffs: QuerySet[HandOff], *, at: datetime) -> QuerySet[HandOff]:
    """Return those that wait for longer than they should."""
    begun = handoffs.alias(begun=Coalesce("since", "created_at"))
    return begun.filter(state=State.WAITING, begun__lt=at - OVERDUE)


def _demand_ground(handoff: HandOff) -> None:
    # Held until the end: a withdrawal at the same moment waits for us, or else we saw it.
    patients = Patient.objects.filter(pk=handoff.patient_id)
    patients.select_for_update(no_key=True).get()
    if not grounded(patients).exists():
        raise NoGround


def _anew(at: datetime) -> dict[str, Any]:
    return {"due_at": at, "since": at, "taken_until": None, "attempts": 0}


def _mine(handoff: HandOff) -> QuerySet[HandOff]:
    """Return the hand-off as long as the lease it was taken for is its own."""
    waiting = HandOff.objects.waiting()
    return waiting.filter(pk=handoff.pk, taken_until=handoff.taken_until)


def _unchanged(handoff: HandOff) -> QuerySet[HandOff]:
    return _mine(handoff).filter(changes=handoff.changes)


def _record_failure(handoff: HandOff, code: str, *, is_final: bool, at: datetime) -> None:
    record(
        Action.HANDOFF_FAIL,
        by=SYSTEM,
        on=handoff,
        at=at,
        outcome="failed",
        patient=handoff.patient_id,
        code=code,
        attempt=handoff.attempts,
        is_final=is_final,
    )
