"""
A flood must neither fill the trail nor hide in it.

Anybody can be turned away a thousand times a minute. Of each source a bounded number is
recorded per window, and the next record says how many were not.
"""

import time

from django.core.cache import cache

WINDOW = 60  # seconds
RECORDED = 60  # events per source and window
REMEMBERED = 86_400  # seconds an uncounted burst waits to be stated


def admit(source: str) -> int | None:
    """
    Return how many events of `source` went unrecorded before this one; None to skip this one.

    :param source: who and what, such as an address and a code; never a person's data
    """
    # The window is in the name: some caches forget when an entry they count in was to expire.
    window = f"flood:{source}:{int(time.time()) // WINDOW}"
    suppressed = f"flood:{source}:suppressed"
    cache.add(window, 0, 2 * WINDOW)
    missed: int = cache.get(suppressed, 0)
    if _count(window) > RECORDED:
        cache.set(suppressed, missed + 1, REMEMBERED)
        return None
    if missed:
        cache.delete(suppressed)
    return missed


def _count(window: str) -> int:
    try:
        return int(cache.incr(window))
    except ValueError:  # it expired in between
        return 1
