"""A log server that lost what it had is sent it again, from where somebody says."""

from datetime import datetime

from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.audit.sent import Forwarded


class NotSent(Exception):
    """The receiver has not come that far."""


def again(sink: str, *, start: int, at: datetime) -> None:
    """
    Have the leaves from `start` on sent again; a forwarder at work notices, and goes back.

    :raises NotSent:
    """
    with transaction.atomic():
        back = Forwarded.objects.filter(sink=sink, acknowledged__gte=start)
        if start < 0 or not back.update(sent=start, acknowledged=start, at=at):
            raise NotSent
        record(Action.FORWARD_RESET, by=SYSTEM, on=None, at=at, sink=sink, start=start)
