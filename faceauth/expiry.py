"""Sessions nobody finished: closed, and what they held forgotten."""

from datetime import datetime

from django.db import transaction

from faceauth.models import LIFETIME, FaceSession, WrongState
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record

BATCH = 200  # sessions a run


def expire(*, at: datetime) -> int:
    """Return how many sessions were closed, at most `BATCH`; the next run takes the rest."""
    closed = 0
    for session in FaceSession.objects.unfinished_before(at - LIFETIME)[:BATCH]:
        try:
            with transaction.atomic():
                session.end(FaceSession.State.EXPIRED, at=at)
                record(Action.SESSION_EXPIRE, by=SYSTEM, on=session, at=at)
        except WrongState:
            continue  # it moved on while we looked
        closed += 1
    return closed
