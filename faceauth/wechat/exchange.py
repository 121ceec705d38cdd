"""One request out, one bounded answer back; what the network does wrong becomes a fact."""

import asyncio
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import httpx

from faceauth.wechat import lines
from faceauth.wechat.advice import seconds_to_wait
from faceauth.wechat.errors import Unavailable, Untrusted
from faceauth.wechat.permitting import Forbidden, Permit, anywhere, demand
from faceauth.wechat.punctual import deadline

BUSY = 3.0  # seconds for a line while all are in use
TIMEOUT = httpx.Timeout(5.0, connect=3.0, pool=BUSY)  # seconds
PATIENCE = 10.0  # seconds for a whole answer, however slowly it drips
LIMIT = 65_536  # bytes
USER_AGENT = f"face-onboarding httpx/{httpx.__version__}"
LIMITS = httpx.Limits(
    max_connections=lines.MOST, max_keepalive_connections=lines.MOST, keepalive_expiry=lines.KEPT
)

# asyncio lets a broken TLS record through as it is, and every resolver a name it cannot spell.
_FAILURES = (httpx.HTTPError, OSError, UnicodeError)
_WAITS = TIMEOUT.as_dict()


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer, unverified. Header names are in lower case."""

    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def request_id(self) -> str:
        """WeChat's name for this exchange, as it came."""
        return self.headers.get("request-id", "")

    @property
    def wait(self) -> float | None:
        """The seconds it asks us to wait, if it does."""
        return seconds_to_wait(self.headers.get("retry-after", ""))

    @property
    def is_failure_of_theirs(self) -> bool:
        """Whether the other side says that it is not well."""
        return self.status >= httpx.codes.INTERNAL_SERVER_ERROR


def compose(
    method: str,
    url: str,
    *,
    accept: str,
    headers: dict[str, str] | None = None,
    content: bytes | None = None,
) -> httpx.Request:
    """Return a request as it will go out: nothing is added to it later."""
    return httpx.Request(
        method,
        url,
        headers={
            "Accept": accept,
            "Accept-Encoding": "identity",  # the limit is on what arrives, and so is the signature
            "User-Agent": USER_AGENT,
            **(headers or {}),
        },
        content=content,
        extensions={"timeout": _WAITS},
    )


class Channel:
    """
    Connections that are kept alive, for threads (`send`) or for tasks of one event loop (`asend`).

    httpx's transports without its client: no proxy, no .netrc, no redirect, no cookie, and no
    log line with the URL.
    """

    def __init__(
        self,
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
        *,
        permit: Permit = anywhere,
    ) -> None:
        self._lock = threading.Lock()
        self._permit = permit
        self._given = transport if isinstance(transport, httpx.BaseTransport) else None
        self._lines = lines.Lines()
        self._async = transport if isinstance(transport, httpx.AsyncBaseTransport) else None

    def send(self, request: httpx.Request, *, until: float) -> Reply:
        """
        Send `request` and return the whole answer, whatever its status.

        :param until: on the monotonic clock; no wait goes beyond, nor beyond `PATIENCE`
        :raises Unavailable: unreachable, timeout, network, busy, egress
        :raises Untrusted: too_large
        """
        until = min(until, time.monotonic() + PATIENCE)
        try:
            demand(self._permit, request.url)
            with self._line(until) as line, deadline(until):
                return _receive(line.handle_request(request))
        except _FAILURES as exc:
            fact = _fact(exc)
        # Out here, because httpx's own exceptions may carry the request and its URL.
        raise Unavailable(fact)

    async def asend(self, request: httpx.Request, *, until: float) -> Reply:
        """
        Do as `send` does, under asyncio.

        :raises Unavailable: unreachable, timeout, network, busy, egress
        :raises Untrusted: too_large
        """
        transport = self._aopened()
        try:
            demand(self._permit, request.url)
            async with asyncio.timeout(min(until - time.monotonic(), PATIENCE)):
                return await _areceive(await transport.handle_async_request(request))
        except _FAILURES as exc:
            fact = _fact(exc)
        raise Unavailable(fact)

    def close(self) -> None:
        """Let the connections of threads go."""
        self._lines.close()
        if self._given is not None:
            self._given.close()

    async def aclose(self) -> None:
        """Let the connections of tasks go."""
        if self._async is not None:
            await self._async.aclose()

    def _line(self, until: float) -> AbstractContextManager[httpx.BaseTransport]:
        if self._given is not None:
            return nullcontext(self._given)
        return self._lines.taken(patience=min(BUSY, until - time.monotonic()))

    def _aopened(self) -> httpx.AsyncBaseTransport:
        with self._lock:
            if self._async is None:
                self._async = httpx.AsyncHTTPTransport(limits=LIMITS, trust_env=False)
            return self._async


def _receive(response: httpx.Response) -> Reply:
    body = bytearray()
    try:
        for chunk in response.iter_raw():
            _gather(body, chunk)
    finally:
        response.close()
    return _reply(response, body)


async def _areceive(response: httpx.Response) -> Reply:
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            _gather(body, chunk)
    finally:
        await response.aclose()
    return _reply(response, body)


def _reply(response: httpx.Response, body: bytearray) -> Reply:
    # Not dict(response.headers): that looks at all of them again for each, seconds for thousands.
    headers: dict[str, str] = {}
    for name, value in response.headers.multi_items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Reply(response.status_code, headers, bytes(body))


def _gather(body: bytearray, chunk: bytes) -> None:
    body += chunk
    if len(body) > LIMIT:
        raise Untrusted("too_large")


def _fact(exc: Exception) -> str:
    match exc:
        case Forbidden():
            return "egress"  # nothing was looked up or sent, and nothing is wrong with the host
        case httpx.PoolTimeout():
            return "busy"  # all our own connections are: it says nothing of the host
        case httpx.ConnectError() | httpx.ConnectTimeout() | UnicodeError():
            return "unreachable"  # nothing was sent
        case httpx.TimeoutException() | TimeoutError():
            return "timeout"
    return "network"
