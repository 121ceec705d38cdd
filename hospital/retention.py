"""
How long a category is kept right now: what two people decided, else the default.

Never beyond its lines (`hospital.categories`), whatever the table holds.
"""

from datetime import datetime
from typing import Final

from django.conf import settings

from hospital.categories import BY_KEY, before
from hospital.remembered import Remembered

_DECIDED: Final = Remembered("privacy.RetentionRule", key="category")

forget = _DECIDED.forget


def value(key: str) -> int:
    """
    Return how long, in the category's unit.

    :raises KeyError: there is no such category
    """
    category = BY_KEY[key]
    decided = _DECIDED.get(key)
    if decided is not None and category.allows(decided):  # whoever wrote the row, and however
        return decided
    return category.default


def trail_months() -> int:
    """Return how many months the trail is kept: the deployment may ask for more than the rule."""
    configured: int = settings.TRAIL_KEEP_MONTHS
    return max(configured, value("trail"))


def cutoff(key: str, at: datetime) -> datetime:
    """Return the moment before which what began is due at `at`."""
    return before(at, value(key), BY_KEY[key].unit)


def forced() -> dict[str, int]:
    """Return what the table holds beyond its lines: written past the pages, and not in force."""
    return _DECIDED.beyond(lambda key, value: key in BY_KEY and BY_KEY[key].allows(value))
