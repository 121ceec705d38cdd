"""How long the trail is kept: six calendar months by law, longer by this hospital's own rule."""

from bisect import bisect_right
from calendar import monthrange
from datetime import UTC, datetime
from typing import Final

from django.conf import settings
from django.db.models import Max

from hospital.audit.keeping import permitted
from hospital.audit.log import Checkpoint
from hospital.audit.times import EPOCH

_YEAR: Final = 12  # months
_NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)


def months_before(at: datetime, months: int) -> datetime:
    """Return the same day and time so many months earlier, or that month's last day."""
    years, month = divmod(at.year * _YEAR + at.month - 1 - months, _YEAR)
    month += 1
    return at.replace(year=years, month=month, day=min(at.day, monthrange(years, month)[1]))


def floor(at: datetime) -> datetime:
    """Return when an event was recorded that may, by law, be removed now (网络安全法)."""
    return months_before(at, permitted.MONTHS)


def due(at: datetime) -> datetime:
    """Return when an event was recorded that this hospital need not keep any longer."""
    return min(floor(at), months_before(at, settings.TRAIL_KEEP_MONTHS))


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
