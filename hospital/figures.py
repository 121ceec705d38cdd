"""
What processes that nobody scrapes have counted: sums in the cache that all of them share.

A count costs the one who counts nothing but memory; every few seconds what came together is added
to the sums. A process that is killed loses those seconds, and a cache that is emptied begins at
nothing again, which whoever reads counters expects. With the cache in a table two processes that
add at once may lose one of the two.
"""

import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

from django.core.cache import cache
from django.db import Error, connections
from redis.exceptions import RedisError

PERIOD: Final = 5.0  # seconds between two additions
_PREFIX: Final = "figures:"
# ValueError: what could not be added is not there to be counted up, says a table one can only read.
_UNREACHABLE: Final = (OSError, RedisError, Error, ValueError)

_lock: Final = threading.Lock()
_counted: Final[Counter[str]] = Counter()
_marked: Final[dict[str, float]] = {}  # until when, on the monotonic clock
_ended: Final = threading.Event()


def add(names: Mapping[str, int]) -> None:
    """Count so much more of each; a name is one of few, and about nobody."""
    with _lock:
        _counted.update(names)


def mark(name: str, *, seconds: float) -> None:
    """Say that something is so, and believe it for so long."""
    with _lock:
        _marked[name] = time.monotonic() + seconds


def sums(names: Collection[str]) -> dict[str, int]:
    """Return the sums of all processes: 0 of what nobody counted."""
    found = cache.get_many([_PREFIX + name for name in names])
    return {name: int(found.get(_PREFIX + name, 0)) for name in names}


def is_marked(name: str) -> bool:
    """Whether somebody said so lately."""
    return bool(cache.get(f"{_PREFIX}mark:{name}"))


def flush() -> None:
    """Add what came together here; where the cache is away, it waits for the next time."""
    with _lock:
        counted, marked = Counter(_counted), dict(_marked)
        _counted.clear()
        _marked.clear()
    try:
        for name in list(marked):
            left = marked[name] - time.monotonic()
            if left > 0:
                cache.set(f"{_PREFIX}mark:{name}", 1, left)
            del marked[name]
        for name in list(counted):
            _add(_PREFIX + name, counted[name])
            del counted[name]
    except _UNREACHABLE:
        with _lock:
            _counted.update(counted)
            _marked.update({**marked, **_marked})  # what was said since is newer


def begin() -> None:
    """Add every few seconds, in a thread of its own, until `end`."""
    _ended.clear()
    threading.Thread(target=_go_on, name="figures", daemon=True).start()


def end() -> None:
    """Add what is left, and no more."""
    _ended.set()
    flush()


def _add(key: str, delta: int) -> None:
    # Not what incr makes of it: in a table it would be forgotten after five minutes.
    cache.add(key, 0, timeout=None)
    cache.incr(key, delta)
    cache.touch(key, timeout=None)


def _go_on() -> None:
    while not _ended.wait(PERIOD):
        try:
            flush()
        finally:
            connections.close_all()
