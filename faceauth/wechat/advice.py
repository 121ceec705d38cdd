"""How long another system asks us to wait before we ask again."""

import re
import time
from email.utils import parsedate_to_datetime

LONGEST_WAIT = 86_400.0  # seconds; a date further off is no advice

_SECONDS = re.compile(r"[0-9]{1,5}", re.ASCII)


def seconds_to_wait(said: str) -> float | None:
    """
    Return the wait that `Retry-After` names, in seconds or as a date (RFC 9110, 10.2.3).

    :param said: the header's value; "" if there was none
    """
    if _SECONDS.fullmatch(said):
        return float(said)
    try:
        until = parsedate_to_datetime(said).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(until - time.time(), 0.0), LONGEST_WAIT)
