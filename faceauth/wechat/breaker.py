"""
A circuit breaker: an upstream that does not answer costs its callers no more time.

Our own, small: the libraries tried serialise all callers behind one lock, or know one kind of
I/O only.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from faceauth.wechat.errors import Unavailable, WeChatError

FAILURES = 5  # in a row, before callers are turned away
SHUT = 10.0  # seconds until one of them may try again
SHAKY = 30.0  # seconds after a failure of the network in which another host is preferred

_DEAD = frozenset({"unreachable", "timeout", "network", "http_5xx"})
_NETWORK = frozenset({"unreachable", "timeout", "network"})
_OURS = frozenset({"busy", "egress"})  # nobody was asked, so that nothing is known


class Breaker:
    """
    Watches one host; threads and tasks may share it.

    Closed, everybody passes. After `FAILURES` in a row it is open: everybody is turned away
    at once. Every `SHUT` seconds one caller may try; an answer, even a refusal, closes it.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._shut_until = 0.0
        self._failed_at = float("-inf")

    @property
    def is_shaky(self) -> bool:
        """Whether the network to this host failed lately."""
        return self._clock() - self._failed_at < SHAKY

    @property
    def seconds_shut(self) -> float:
        """How long callers will be turned away from now on; 0 if they are not."""
        if self._failures < FAILURES:
            return 0.0
        return max(0.0, self._shut_until - self._clock())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """
        Let a caller pass, and learn from what becomes of it.

        :raises Unavailable: circuit_open, with the seconds to wait
        """
        self._enter()
        try:
            yield
        except WeChatError as exc:
            if exc.fact in _DEAD:
                self._note_failure(exc.fact)
            elif exc.fact not in _OURS:
                self._note_answer()
            raise
        self._note_answer()

    def _enter(self) -> None:
        with self._lock:
            now = self._clock()
            if self._failures < FAILURES:
                return
            if now < self._shut_until:
                raise Unavailable("circuit_open", retry_after=self._shut_until - now)
            self._shut_until = now + SHUT  # one tries; the others wait for what it finds

    def _note_failure(self, fact: str) -> None:
        with self._lock:
            self._failures += 1
            now = self._clock()
            self._shut_until = now + SHUT
            if fact in _NETWORK:
                self._failed_at = now

    def _note_answer(self) -> None:
        with self._lock:
            self._failures = 0
            self._failed_at = float("-inf")
