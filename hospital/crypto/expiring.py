"""A bounded memory whose entries end, so that a destroyed key stops working everywhere."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Expiring(Generic[K, V]):
    """Least recently used goes first; everything goes at the moment given with it."""

    def __init__(self, *, size: int, clock: Callable[[], float] = monotonic) -> None:
        self._size = size
        self._clock = clock
        self._lock = Lock()
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        with self._lock:
            if key not in self._entries:
                return None
            ends, value = self._entries[key]
            if self._clock() >= ends:
                del self._entries[key]
                return None
            self._entries.move_to_end(key)
            return value

    def put(self, key: K, value: V, *, seconds: float) -> None:
        """Keep `value` for so many seconds; none at all for 0."""
        self._put(key, value, ends=self._clock() + seconds)

    def take_over(self, other: "Expiring[K, V]") -> None:
        """Move all that `other` holds here; nothing lives longer for it."""
        for key, (ends, value) in other.drain():
            self._put(key, value, ends=ends)

    def drain(self) -> list[tuple[K, tuple[float, V]]]:
        """Forget everything, and return it with the moments it ends, oldest first."""
        with self._lock:
            entries = list(self._entries.items())
            self._entries.clear()
            return entries

    def drop(self, unwanted: Callable[[K], bool]) -> None:
        with self._lock:
            for key in [key for key in self._entries if unwanted(key)]:
                del self._entries[key]

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def _put(self, key: K, value: V, *, ends: float) -> None:
        with self._lock:
            self._entries[key] = ends, value
            self._entries.move_to_end(key)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)
