"""Times as events state them: microseconds since 1970. A forged one may be any number."""

import datetime as dt
from typing import Final

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
LATEST: Final = 10**17  # microseconds: in the year 5138


def moment(at_us: int) -> dt.datetime:
    """Return the time an event states, or the nearest there is."""
    return EPOCH + dt.timedelta(microseconds=min(max(at_us, 0), LATEST))


def micros(at: dt.datetime) -> int:
    """Return a time as events state it."""
    return (at - EPOCH) // dt.timedelta(microseconds=1)
