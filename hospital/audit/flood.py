"""
A flood must neither fill the trail nor hide in it.

Anybody can be turned away a thousand times a minute. Of each source a bounded number is
recorded per window, and the next record says how many were not.
"""

from django.core.cache import cache

WINDOW = 60  # seconds
RECORDED = 60  # events per source and window
REMEMBERED = 86_400  # seconds an uncounted burst waits to be stated


def admit(source: str) -> int | None:
    """
    Return how many events of `source` went unrecorded before this one; None to skip this one.

    :param source: who and what, such as an address and a code; never a person's data
    """
    window, suppressed = f"flood:{source}", f"flood:{source}:suppressed"
    if _count(window, WINDOW) > RECORDED:
        _count(suppressed, REMEMBERED)
        return None
    missed: int = cache.get(suppressed, 0)
    if missed:
        cache.delete(suppressed)
    return missed


def _count(key: str, seconds: int) -> int:
    cache.add(key, 0, seconds)
    try:
        return int(cache.incr(key))
    except ValueError:  # it expired in between
        return 1
