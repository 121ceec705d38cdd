"""What is kept of visits and of what was said to a notice, and what is past its period."""

from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from faceauth import sighting
from faceauth.models import Consent, Declining, FaceSession, WrongState
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM
from hospital.audit.times import micros
from hospital.privacy.keeping import erased
from hospital.privacy.sweeping import Pile, Sweep, taking

REASON: Final = "retention"  # of a session that ended because what it held was kept too long

State = FaceSession.State


def _ended(cutoff: datetime, _at: datetime) -> QuerySet[FaceSession]:
    return FaceSession.objects.filter(finished_at__lt=cutoff)


def _processed(cutoff: datetime, _at: datetime) -> QuerySet[Consent]:
    """
    Return what was said so long before that nothing stands on it any more.

    A refusal, and what led to nobody's record, stood on nothing from the first day; what was
    withdrawn, or whose patient was forgotten, since then. The visit goes before it.
    """
    led_nowhere = Q(granted=False) | Q(patient=None)
    return Consent.objects.filter(
        Q(led_nowhere, at__lt=cutoff)
        | Q(withdrawn_at__lt=cutoff)
        | Q(erased("patient", before=cutoff)),
        ~Exists(FaceSession.objects.filter(consent=OuterRef("pk"))),
    )


def _declined(_cutoff: datetime, at: datetime) -> QuerySet[Declining]:
    return Declining.objects.filter(until__lte=at)


def _with_answer(cutoff: datetime, _at: datetime) -> QuerySet[FaceSession]:
    held = FaceSession.objects.filter(answer__isnull=False)
    return held.filter(pk__in=_since(held, Action.WECHAT_ANSWER, cutoff))


def _with_face_sid(cutoff: datetime, _at: datetime) -> QuerySet[FaceSession]:
    """Return those that wait for WeChat; with an answer in hand the shorter limit is its own."""
    held = FaceSession.objects.filter(face_sid__isnull=False, answer__isnull=True)
    return held.filter(pk__in=_since(held, Action.SESSION_SEE, cutoff))


def _since(held: QuerySet[FaceSession], action: Action, cutoff: datetime) -> list[UUID]:
    """
    Return which of these, few at any moment, have held it since before the cutoff.

    When it came is on record, and nowhere else. Of what has no such record, when they began.
    """
    sessions = {str(pk): opened for pk, opened in held.values_list("pk", "opened_at")}
    events = Event.objects.filter(
        object_type=FaceSession._meta.label_lower,
        object_id__in=sessions,
        action=action.value.tag,
    )
    came = {pk: micros(opened) for pk, opened in sessions.items()}
    for pk, at_us in events.order_by("id").values_list("object_id", "at_us"):
        came[str(pk)] = int(at_us)
    return [UUID(pk) for pk, at_us in came.items() if at_us < micros(cutoff)]


def _drop(session: FaceSession, at: datetime) -> None:
    """Forget what a visit held too long, and end it if it has not ended."""
    if not session.is_final:
        with suppress(WrongState):  # it ended, or another worker has it, since we looked
            sighting.leave_to_desk(session, REASON, by=SYSTEM, at=at)
            return
    FaceSession.objects.filter(pk=session.pk).update(face_sid=None, answer=None)


SWEEPS: Final = (
    Sweep("face_sid", (Pile(_with_face_sid, take=taking(_drop)),)),
    Sweep("answer", (Pile(_with_answer, take=taking(_drop)),)),
    Sweep("declining", (Pile(_declined),)),
    Sweep("session", (Pile(_ended, ("patient_id",)),)),
    Sweep("consent", (Pile(_processed, ("patient",)),)),
)
