"""
A network whose every wait ends at the caller's deadline, not only each wait by itself.

An upstream that sends one byte a second keeps within any read timeout for hours.
"""

import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

_caller = threading.local()


@contextmanager
def deadline(until: float) -> Iterator[None]:
    """Let nothing this thread does on a punctual network last beyond `until` (monotonic)."""
    _caller.until = until
    try:
        yield
    finally:
        _caller.until = float("inf")


class PunctualTransport(httpx.HTTPTransport):
    """httpx's own transport over streams that know the deadline."""

    def __init__(self, *, limits: httpx.Limits) -> None:
        trusted = httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=trusted, limits=limits, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=trusted,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Network(),
        )


class _Network(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._real = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        stream = self._real.connect_tcp(host, port, left, local_address, socket_options)
        return _Stream(stream)


class _Stream(httpcore.NetworkStream):
    def __init__(self, real: httpcore.NetworkStream) -> None:
        self._real = real

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._real.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._real.write(buffer, _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._real.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._real.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._real.get_extra_info(info)


def _left(timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
    """Return the shorter of a wait and what the caller has left."""
    until: float = getattr(_caller, "until", float("inf"))
    if until == float("inf"):
        return timeout
    left = until - time.monotonic()
    if left <= 0:
        raise late
    return left if timeout is None else min(timeout, left)
