"""
Asking the hospital's own system: one question, one bounded answer, and what it means.

No redirect is followed, no proxy asked, and nothing that came back is ever in an exception.
"""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from faceauth.wechat.advice import seconds_to_wait
from faceauth.wechat.punctual import PunctualTransport, deadline
from hospital import egress
from hospital.his.errors import NotNow, Refused

_CONNECT: Final = 3.0  # seconds
_SHORTEST: Final = 0.1  # seconds that are waited for an answer in any case
_LIMITS: Final = httpx.Limits(max_connections=1, max_keepalive_connections=1)
_LIMIT: Final = 1_048_576  # bytes: a patient's picture may be in an answer
FHIR: Final = "application/fhir+json"

# Our own configuration, or a moment: neither says anything of the patient.
_PASSING: Final[dict[int, str]] = {
    httpx.codes.UNAUTHORIZED: "credential",
    httpx.codes.FORBIDDEN: "credential",
    httpx.codes.REQUEST_TIMEOUT: "timeout",
    httpx.codes.TOO_EARLY: "busy",
    httpx.codes.LOCKED: "busy",
    httpx.codes.TOO_MANY_REQUESTS: "http_429",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is neither an overload nor a redirect."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def wait(self) -> float | None:
        """The seconds it asks us to wait, if it does."""
        return seconds_to_wait(self.headers.get("retry-after", ""))

    @property
    def resource(self) -> dict[str, Any]:
        """What it carries; nothing if that is no JSON object."""
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return said if isinstance(said, dict) else {}


class Wire:
    """
    The system at `url`, over connections that are kept for as long as this is used.

    Threads do not share one.
    """

    def __init__(self, client: httpx.Client, url: str, *, token: str) -> None:
        self._client = client
        self._url = url.rstrip("/")
        self._fixed = {
            "Accept": FHIR,
            "Accept-Encoding": "identity",  # the limit is on what arrives
            **({"Authorization": f"Bearer {token}"} if token else {}),
        }

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        until: float,
    ) -> Reply:
        """
        Send one question and return the whole answer.

        :param until: on the monotonic clock; nothing is waited for beyond
        :raises NotNow:
        :raises Refused: too_large
        """
        said = {} if body is None else {"Content-Type": FHIR}
        content = None if body is None else _encoded(body)
        left = max(until - time.monotonic(), _SHORTEST)
        wait = httpx.Timeout(left, connect=min(_CONNECT, left))
        try:
            request = httpx.Request(
                method,
                f"{self._url}/{path}",
                headers={**self._fixed, **said, **(headers or {})},
                content=content,
                extensions={"timeout": wait.as_dict()},
            )
            with deadline(time.monotonic() + left):
                reply = _received(self._client.send(request, stream=True))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as exc:
            fact = _fact(exc)
        else:
            return _judged(reply)
        # Out here, because httpx's own exceptions carry the request, and that the patient.
        raise NotNow(fact)


@contextmanager
def connected(url: str, *, token: str, ca_file: str) -> Iterator[Wire]:
    """
    Yield a wire to the system at `url`.

    :param ca_file: PEM file of the authorities to believe; "": the system's
    :raises NotNow: ca_file
    """
    try:
        trusted = ssl.create_default_context(cafile=ca_file or None)
    except OSError:  # ssl.SSLError is one
        raise NotNow("ca_file") from None
    transport = PunctualTransport(limits=_LIMITS, trusted=trusted)
    with egress.client(transport=transport) as client:
        yield Wire(client, url, token=token)


def _encoded(body: dict[str, Any]) -> bytes:
    """In ASCII: what came from there may be no text that UTF-8 can say."""
    try:
        return json.dumps(body).encode()
    except RecursionError:
        pass
    raise NotNow("malformed")  # out here: the error above was raised amidst a patient


def _received(answer: httpx.Response) -> Reply:
    body = bytearray()
    try:
        for chunk in answer.iter_raw():
            body += chunk
            if len(body) > _LIMIT:
                raise Refused("too_large")
    finally:
        answer.close()
    return Reply(answer.status_code, answer.headers, bytes(body))


def _fact(exc: Exception) -> str:
    match exc:
        case egress.Forbidden():
            return "egress"
        case httpx.ConnectError(__context__=cause) if _is_distrust(cause):
            return "untrusted"
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return "unreachable"  # nothing was sent
        case httpx.TimeoutException():
            return "timeout"
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | UnicodeError():
            return "address"
    return "network"


def _is_distrust(cause: BaseException | None) -> bool:
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__context__
    return False


def _judged(reply: Reply) -> Reply:
    if httpx.codes.is_redirect(reply.status) or httpx.codes.is_informational(reply.status):
        raise NotNow("redirected")
    if httpx.codes.is_server_error(reply.status):
        raise NotNow("http_5xx", after=reply.wait)
    if fact := _PASSING.get(reply.status):
        raise NotNow(fact, after=reply.wait)
    return reply
