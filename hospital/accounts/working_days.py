"""
Days on which the administration is there: neither a weekend nor one of settings.HOLIDAYS.

A weekend's day that was swapped for a holiday's (调休) is one of settings.WORKDAYS.
"""

from datetime import date, datetime, time, timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

_SATURDAY: Final = 5  # of date.weekday()


def end_of_next(at: datetime) -> datetime:
    """Return the last moment of the first working day after the one of `at`, local time."""
    day = after(timezone.localdate(at), 1)
    return datetime.combine(day, time.max, timezone.get_current_timezone())


def after(day: date, days: int) -> date:
    """Return the working day that is so many working days after `day`, which does not count."""
    while days > 0:
        day += timedelta(days=1)
        days -= _is_working(day)
    return day


def _is_working(day: date) -> bool:
    is_usual = day.weekday() < _SATURDAY and day not in settings.HOLIDAYS
    return is_usual or day in settings.WORKDAYS
