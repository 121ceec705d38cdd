"""Whether beat, broker and a worker are alive, all three: one task of theirs says so."""

from datetime import datetime
from typing import Final

from django.core.cache import cache

from hospital import figures
from hospital.watchdog import RESTARTS

PERIOD: Final = 5.0  # seconds between two signs of life
SILENT: Final = 60.0  # seconds without one
_KEPT: Final = 7 * 24 * 3600  # seconds: longer than any silence that is still a surprise
_SEEN: Final = "operations:alive"


def note(at: datetime) -> None:
    """Say that work is done."""
    cache.set(_SEEN, at, _KEPT)


def seconds_ago(at: datetime) -> float | None:
    """Return how long ago somebody last said so; None if nobody did for a week."""
    seen: datetime | None = cache.get(_SEEN)
    return max(0.0, (at - seen).total_seconds()) if seen else None


def restarts() -> int:
    """Return how many workers were wedged and began anew."""
    return figures.sums([RESTARTS])[RESTARTS]
