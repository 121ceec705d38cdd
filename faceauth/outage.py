"""
A WeChat that is known not to answer: terminals are told at once, and no worker is kept busy.

Only a worker whose circuit breaker opened says so. One request that ran into a time limit is no
outage: the next may be answered, and only by trying does anybody find out.
"""

from datetime import datetime, timedelta
from math import ceil

from django.core.cache import cache

from faceauth.models import Merchant

LONGEST = 30  # seconds one word of it is believed; then a terminal's request tries again


def note(merchant: Merchant, *, seconds: float, at: datetime) -> None:
    """Note that WeChat need not be asked for so long."""
    wait = min(max(1, ceil(seconds)), LONGEST)
    cache.set(_key(merchant), at + timedelta(seconds=wait), wait)


def seconds_left(merchant: Merchant, *, at: datetime) -> float:
    """Return how long WeChat need not be asked; 0 if it may be."""
    until: datetime | None = cache.get(_key(merchant))
    return min(max(0.0, (until - at).total_seconds()), LONGEST) if until else 0.0


def _key(merchant: Merchant) -> str:
    return f"authinfo:down:{merchant.pk}"
