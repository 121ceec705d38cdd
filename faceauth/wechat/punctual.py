"""
A network whose every wait ends at the caller's deadline, not only each wait by itself.

An upstream that sends one byte a second keeps within any read timeout for hours. Knows no Django,
and neither WeChat nor the hospital's own system: whatever is asked, is asked by this.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

_PIECE: Final = 16_384  # bytes, of one TLS record

_caller = threading.local()


@contextmanager
def deadline(until: float) -> Iterator[None]:
    """Let nothing this thread does on a punctual network last beyond `until` (monotonic)."""
    before = _until()
    _caller.until = min(before, until)
    try:
        yield
    finally:
        _caller.until = before


class PunctualTransport(httpx.HTTPTransport):
    """
    httpx's own transport over streams that know the deadline.

    :param trusted: the authorities to believe; None: those httpx brings along
    """

    def __init__(self, *, limits: httpx.Limits, trusted: ssl.SSLContext | None = None) -> None:
        trusted = trusted or httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=trusted, limits=limits, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=trusted,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Network(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request`; for a free connection too it waits no longer than the caller may."""
        waits = request.extensions["timeout"]
        pool = max(0.0, min(waits["pool"], _until() - time.monotonic()))
        request.extensions = {**request.extensions, "timeout": {**waits, "pool": pool}}
        return super().handle_request(request)


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
        with deadline(time.monotonic() + (float("inf") if timeout is None else timeout)):
            untried = _addresses(host, port)
            while True:
                # By the socket module each would get the whole time, and some hosts have many.
                left = _left(None, httpcore.ConnectTimeout)
                share = None if left is None else left / len(untried)
                address = untried.pop(0)
                try:
                    stream = self._real.connect_tcp(
                        address, port, share, local_address, socket_options
                    )
                except (httpcore.ConnectError, httpcore.ConnectTimeout):
                    if not untried:
                        raise
                else:
                    return _Stream(stream)


class _Stream(httpcore.NetworkStream):
    def __init__(self, real: httpcore.NetworkStream) -> None:
        self._real = real

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._real.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # Piece by piece: each send of httpcore's, not all of them, gets the whole wait.
        for start in range(0, len(buffer), _PIECE):
            left = _left(timeout, httpcore.WriteTimeout)
            self._real.write(buffer[start : start + _PIECE], left)

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
    until = _until()
    if until == float("inf"):
        return timeout
    left = until - time.monotonic()
    if left <= 0:
        raise late
    return left if timeout is None else min(timeout, left)


def _until() -> float:
    until: float = getattr(_caller, "until", float("inf"))
    return until


def _addresses(host: str, port: int) -> list[str]:
    # In a thread that may be left behind: a resolver has time limits of its own, and long ones.
    found: Future[list[str]] = Future()
    threading.Thread(target=_look_up, args=(found, host, port), daemon=True).start()
    try:
        return found.result(_left(None, httpcore.ConnectTimeout))
    except TimeoutError:
        raise httpcore.ConnectTimeout from None
    except OSError:
        raise httpcore.ConnectError from None


def _look_up(found: "Future[list[str]]", host: str, port: int) -> None:
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        found.set_exception(exc)
    else:
        found.set_result(list(dict.fromkeys(str(address[0]) for *_, address in answers)))
