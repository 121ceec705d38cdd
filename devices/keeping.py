"""What is kept of terminals' requests, and what is past its period."""

from datetime import datetime
from typing import Final

from django.db.models import QuerySet

from devices.models import StoredAnswer, TerminalRequest
from hospital.privacy.sweeping import Pile, Sweep


def _requests(cutoff: datetime, _at: datetime) -> QuerySet[TerminalRequest]:
    return TerminalRequest.objects.filter(at__lt=cutoff)


def _answers(cutoff: datetime, _at: datetime) -> QuerySet[StoredAnswer]:
    return StoredAnswer.objects.filter(created_at__lt=cutoff)


SWEEPS: Final = (
    Sweep("request_log", (Pile(_requests),)),
    Sweep("stored_answer", (Pile(_answers),)),
)
