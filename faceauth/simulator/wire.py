"""What came in and what goes out, between WSGI and the rest."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

import httpx

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LIMIT = 1_048_576  # bytes of a request

_FAULTS: dict[str, tuple[type[httpx.TransportError], str]] = {
    "drop": (httpx.RemoteProtocolError, "peer closed connection without sending complete body"),
    "reset": (httpx.ReadError, "connection reset by peer"),
    "drip": (httpx.ReadTimeout, "the headers never end"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request; header names in lower case, `target` is path and query as sent."""

    method: str
    path: str
    target: str = field(repr=False)
    query: dict[str, str]
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @classmethod
    def read(cls, environ: "WSGIEnvironment") -> "Request":
        """Read a request out of a WSGI environment."""
        path, query = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
        asked = quote(path, encoding="latin-1") + (f"?{query}" if query else "")
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        if "CONTENT_TYPE" in environ:  # WSGI keeps this one apart
            headers["content-type"] = environ["CONTENT_TYPE"]
        length = min(int(environ.get("CONTENT_LENGTH") or 0), LIMIT)
        return cls(
            method=environ["REQUEST_METHOD"],
            path=path,
            target=environ.get("RAW_URI", asked),
            query=dict(parse_qsl(query, keep_blank_values=True)),
            headers=headers,
            body=environ["wsgi.input"].read(length),
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """
    One HTTP answer, and what is not sent of it.

    `verdict` says in Chinese why it is what it is, `to_sign` what should have been signed,
    `device_id` whose request it answers. `number` ends the Request-ID. `fault` is what happens to
    it on the way: drop, reset, or drip over `seconds`.
    """

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    verdict: str = ""
    to_sign: str = field(default="", repr=False)
    device_id: str = ""
    number: int = 0
    fault: str = ""
    seconds: float = 0.0

    def send(self, start_response: "StartResponse") -> Iterable[bytes]:
        """
        Hand the answer to a WSGI server.

        A WSGI application cannot break a connection, so a fault is raised as the exception that
        httpx has for it; `server` breaks real connections instead.

        :raises httpx.TransportError: the answer has a fault
        """
        if self.fault:
            fault, said = _FAULTS[self.fault]
            raise fault(said)
        headers = {**self.headers, "Content-Length": str(len(self.body))}
        start_response(f"{self.status} {HTTPStatus(self.status).phrase}", list(headers.items()))
        return [self.body]


def json_reply(content: Any, *, status: int = 200, verdict: str = "") -> Reply:
    """Return `content` as JSON."""
    body = json.dumps(content, ensure_ascii=False).encode()
    return Reply(status, body, {"Content-Type": "application/json; charset=utf-8"}, verdict=verdict)
