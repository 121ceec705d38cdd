"""
As many connections as threads ask at once, kept alive; each of them a transport of its own.

A pool of httpcore's looks at all its idle connections, several times a request and with a system
call each: at 32 threads that took more CPU than the cryptography. Of a stack nobody looks further
than the top. Knows no Django, and not who is asked.
"""

import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Final

import httpx

from faceauth.wechat.punctual import PunctualTransport

MOST: Final = 64  # at once: room for every thread of a worker
KEPT: Final = 50.0  # seconds an idle connection is kept
_ONE: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEPT)


class Lines:
    """A stack of idle lines. For threads: each has a line to itself until it gives it back."""

    def __init__(self) -> None:
        self._room = threading.BoundedSemaphore(MOST)
        self._lock = threading.Lock()
        self._idle: deque[tuple[PunctualTransport, float]] = deque()  # and since when
        self._is_closed = False

    @contextmanager
    def taken(self, *, patience: float) -> Iterator[PunctualTransport]:
        """
        Yield the line that was used last, or a new one.

        :param patience: seconds to wait while all are in use
        :raises httpx.PoolTimeout: they still are
        """
        if not self._room.acquire(timeout=max(0.0, patience)):
            raise httpx.PoolTimeout("all in use")
        try:
            line = self._pop()
            try:
                yield line
            finally:
                self._push(line)
        finally:
            self._room.release()

    def close(self) -> None:
        """Let go of all that are idle, and of those in use when they are given back."""
        with self._lock:
            self._is_closed = True
            while self._idle:
                self._idle.pop()[0].close()

    def _pop(self) -> PunctualTransport:
        with self._lock:
            if self._idle:
                return self._idle.pop()[0]
            return PunctualTransport(limits=_ONE, trusted=self._trusted)

    def _push(self, line: PunctualTransport) -> None:
        """Put it on top. At the bottom lies what is used no more, and what nobody else closes."""
        now, unwanted = time.monotonic(), None
        with self._lock:
            self._idle.append((line, now))
            if self._is_closed or now - self._idle[0][1] > KEPT:
                unwanted, _ = self._idle.popleft()
        if unwanted:
            unwanted.close()

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        # Made on first use, and once: it costs 17 ms, and most channels serve one kind only.
        return httpx.create_ssl_context(trust_env=False)
