"""A bounded memory whose entries end, so that a destroyed key stops working everywhere."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Expiring(Generic[K, V]):
    """The oldest goes first; everything goes at the moment given with it."""

    def __init__(self, *, size: int, clock: Callable[[], float] = monotonic) -> None:
        self._size = size
        self._clock = clock
        self._lock = Lock()
        self._entries: dict[K, tuple[float, V]] = {}

    def get(self, key: K) -> V | None:
        # Without the lock, since every reading of a sealed value passes here: one lookup in a
        # dict is never half done.
        entry = self._entries.get(key)
        if entry is None or self._clock() >= entry[0]:
            return None
        return entry[1]

    def missing(self, keys: Iterable[K]) -> list[K]:
        """Return the keys that are not kept."""
        now, entries = self._clock(), self._entries  # without the lock, as in `get`
        return [key for key in keys if (entry := entries.get(key)) is None or now >= entry[0]]

    def put(self, key: K, value: V, *, seconds: float) -> None:
        """Keep `value` for so many seconds; none at all for 0."""
        self.put_all({key: value}, seconds=seconds)

    def put_all(self, entries: Mapping[K, V], *, seconds: float) -> None:
        """Keep each of `entries`, the first of them as the oldest."""
        ends = self._clock() + seconds
        self._put({key: (ends, value) for key, value in entries.items()})

    def take_over(self, other: "Expiring[K, V]") -> None:
        """Move all that `other` holds here; nothing lives longer for it."""
        self._put(dict(other.drain()))

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

    def _put(self, entries: Mapping[K, tuple[float, V]]) -> None:
        with self._lock:
            for key, entry in entries.items():
                self._entries.pop(key, None)
                self._entries[key] = entry
            for _ in range(len(self._entries) - self._size):
                del self._entries[next(iter(self._entries))]
