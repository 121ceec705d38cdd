"""Where the forwarder goes on is put elsewhere, by somebody who says so, and on record."""

from datetime import datetime

from django.db import transaction
from django.db.models import Min

from hospital.audit.actions import Action
from hospital.audit.log import Leaf
from hospital.audit.recording import SYSTEM, record
from hospital.audit.sent import Forwarded


class NotSent(Exception):
    """The receiver has not come that far."""


class NoGap(Exception):
    """What comes next is there, or nothing does."""


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


def past(sink: str, *, at: datetime) -> int:
    """
    Have the forwarder go on after the leaves that are missing before it; return from where.

    :raises NoGap:
    """
    with transaction.atomic():
        row = Forwarded.objects.filter(sink=sink).first()
        if row is None:
            raise NoGap
        after = Leaf.objects.filter(index__gte=row.acknowledged).aggregate(first=Min("index"))
        start: int | None = after["first"]
        if start is None or start == row.acknowledged:
            raise NoGap
        there = Forwarded.objects.filter(sink=sink, acknowledged=row.acknowledged)
        if not there.update(sent=start, acknowledged=start, at=at):
            raise NoGap
        record(Action.FORWARD_RESET, by=SYSTEM, on=None, at=at, sink=sink, start=start)
    return start
