"""How long the trail is kept: six calendar months by law, longer by this hospital's own rule."""

from bisect import bisect_right
from datetime import UTC, datetime
from typing import Final

from django.db.models import Max

from hospital import retention
from hospital.audit.keeping import permitted
from hospital.audit.log import Checkpoint
from hospital.audit.times import EPOCH
from hospital.categories import months_before

_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


def floor(at: datetime) -> datetime:
    """Return when an event was recorded that may, by law, be removed now (网络安全法)."""
    return months_before(at, permitted.MONTHS)


def due(at: datetime) -> datetime:
    """Return when an event was recorded that this hospital need not keep any longer."""
    return min(floor(at), months_before(at, retention.trail_months()))


def sealed_by(moment: datetime) -> int:
    """Return how many events the last checkpoint covers that was signed until then."""
    signed = Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0
    return bisect_right(range(1, signed + 1), moment, key=_signed_at)


def _signed_at(size: int) -> datetime:
    """
    Return when so many events were covered. A year has too many checkpoints to read them all.

    A time that cannot be one is passed over, for that of the next checkpoint.
    """
    covering = Checkpoint.objects.filter(size__gte=size, created_at__range=(EPOCH, _NEVER))
    when = covering.order_by("size").values_list("created_at", flat=True).first()
    return when or _NEVER
