"""
Seats for those who wait: whoever waits holds a thread, and threads are few.

Without a seat the answer comes at once, so that forty waiting terminals, or one that has gone
wild, never keep the others from being served.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from django.db import connection

PER_TERMINAL = 8  # one is enough; dropped connections leave some behind for a while

_lock = threading.Lock()
_waiting: Counter[UUID] = Counter()


@contextmanager
def seat(terminal: UUID) -> Iterator[bool]:
    """Yield whether this terminal may wait; the seat is free again afterwards."""
    with _lock:
        free = _waiting.total() < settings.LONG_POLLS and _waiting[terminal] < PER_TERMINAL
        if free:
            _waiting[terminal] += 1
    try:
        yield free
    finally:
        if free:
            with _lock:
                _waiting[terminal] -= 1
                if not _waiting[terminal]:
                    del _waiting[terminal]


def rest(seconds: float) -> None:
    """Wait a step without holding a connection somebody else could use."""
    if not connection.in_atomic_block:
        connection.close()
    time.sleep(seconds)
