"""依法保全: what is in dispute is neither erased nor thinned, whoever asks and whatever is due."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.errors import Refusal
from hospital.privacy.models import LegalHold


class Held(Refusal):
    code = "legal_hold"
    message = "该患者的信息正在依法保全，不能删除"


def standing(*, at: datetime) -> QuerySet[LegalHold]:
    """Return the holds that stand: not lifted, and their last day is not over."""
    return LegalHold.objects.filter(lifted_at=None, until__gte=timezone.localdate(at))


def demand_free(patient: UUID, *, at: datetime) -> None:
    """:raises Held:"""
    if standing(at=at).filter(patient=patient).exists():
        raise Held


def end_past(*, at: datetime) -> int:
    """Lift the holds whose last day is over; return how many."""
    ended = 0
    past = LegalHold.objects.filter(lifted_at=None, until__lt=timezone.localdate(at))
    for hold in past.order_by("pk"):
        with transaction.atomic():
            ended += lift(hold, code="ended", at=at)
    return ended


def lift(hold: LegalHold, *, code: str, at: datetime, **facts: Any) -> bool:
    """Compare and set, in the caller's transaction; return whether there was one to lift."""
    if not LegalHold.objects.filter(pk=hold.pk, lifted_at=None).update(lifted_at=at):
        return False
    record(
        Action.HOLD_LIFT,
        by=SYSTEM,
        on=hold,
        at=at,
        patient=hold.patient_id,
        code=code,
        **facts,
    )
    return True
