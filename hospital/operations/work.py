"""What is due and how long already, by a few small questions: no table is read whole."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, QuerySet

from faceauth.models import FaceSession
from hospital.patients.models import HandOff
from hospital.privacy.models import RetentionRun

COUNTED: Final = 10_000  # of more it is said that there are more
RECENT: Final = timedelta(minutes=15)


@dataclass(frozen=True)
class Due:
    """
    A queue in the database.

    :param count: at most `COUNTED` and one
    :param oldest_seconds: since when the one that waits longest could have been taken; 0: none
    """

    count: int
    oldest_seconds: float


def due(at: datetime) -> Due:
    """Return the authorized sessions that nobody works on."""
    return _queue(FaceSession.objects.due(at), at)


def handoffs(at: datetime) -> Due:
    """Return what the hospital's own system is still to be told."""
    return _queue(HandOff.objects.due(at), at)


def undelivered() -> int:
    """Return how many hand-offs were given up, at most `COUNTED` and one."""
    return HandOff.objects.filter(state=HandOff.State.DEAD)[: COUNTED + 1].count()


def outcomes(at: datetime) -> dict[tuple[str, str], int]:
    """Return (state, reason) → how many sessions of the last quarter of an hour are there."""
    rows = (
        FaceSession.objects.filter(opened_at__gt=at - RECENT)
        .order_by()
        .values_list("state", "reason")
        .annotate(Count("id"))
    )
    found: Counter[tuple[str, str]] = Counter()
    for state, reason, count in rows:
        # WeChat's own codes are many, and theirs to invent: a label's values must stay few.
        found[state, reason.partition(":")[0]] += count
    return dict(found)


def swept(at: datetime) -> float | None:
    """Return how many seconds ago a whole retention sweep ended; None if none ever did."""
    runs = RetentionRun.objects.filter(
        state=RetentionRun.State.DONE, scope=RetentionRun.Scope.ALL, is_dry=False
    )
    last = runs.order_by("-id").values_list("finished_at", flat=True).first()
    return max(0.0, (at - last).total_seconds()) if last else None


def _queue(rows: "QuerySet[FaceSession] | QuerySet[HandOff]", at: datetime) -> Due:
    oldest = rows.order_by("due_at").values_list("due_at", flat=True).first()
    waits = (at - oldest).total_seconds() if oldest else 0.0
    return Due(rows.order_by()[: COUNTED + 1].count(), max(0.0, waits))
