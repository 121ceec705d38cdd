"""
One request, one id: in the answer, in every log line, in every audit record.

What a worker does for a request goes by the same id: it travels beside the task, not in it.

Nothing here writes a path, a query or an exception's message: they could carry a person.
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import ip_address

import structlog
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from uuid6 import uuid7

# Answered as 4xx by Django: somebody's mistake, not a bug.
EXPECTED = (BadRequest, Http404, PermissionDenied, SuspiciousOperation)

HEADER = "request_id"  # of a task's message

_ID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Trace:
    """Where an act came from. `peer` is the socket's other end, `ip` the client we believe."""

    request_id: str = ""
    ip: str = ""
    peer: str = ""


_trace: ContextVar[Trace] = ContextVar("trace", default=Trace())  # noqa: B039 (frozen)


def current() -> Trace:
    """Return the trace of the request being answered; empty outside of one."""
    return _trace.get()


@contextmanager
def carried_on(request_id: str, **ids: str) -> Iterator[None]:
    """
    Do what a request asked for, elsewhere and later, under its name.

    :param request_id: as it came with a message; what is no such id is dropped
    :param ids: what else every line of the log is to name
    """
    known = request_id if _ID.fullmatch(request_id) else ""
    named = {name: value for name, value in ids.items() if _ID.fullmatch(value)}
    if known:
        named[HEADER] = known
    token = _trace.set(Trace(known) if known else current())
    try:
        with structlog.contextvars.bound_contextvars(**named):
            yield
    finally:
        _trace.reset(token)


@contextmanager
def resumed(trace: Trace) -> Iterator[None]:
    """Do what is left to do of a request whose trace was kept."""
    token = _trace.set(trace)
    try:
        yield
    finally:
        _trace.reset(token)


class RequestTrace:
    """Outermost middleware: name the request, time it, log one line about it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = str(uuid7())  # ours: what a client sends could be a person, or another's
        peer = request.META.get("REMOTE_ADDR", "")
        token = _trace.set(Trace(request_id, client_ip(request), peer))
        began = time.monotonic()
        try:
            with structlog.contextvars.bound_contextvars(request_id=request_id):
                response = self.get_response(request)
                log.info(
                    "request",
                    method=request.method,
                    route=_route(request),
                    status=response.status_code,
                    ms=round((time.monotonic() - began) * 1000),
                )
        finally:
            structlog.contextvars.clear_contextvars()  # the thread answers others next
            _trace.reset(token)
        response["X-Request-Id"] = request_id
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        if not isinstance(exception, EXPECTED):
            log.error("bug", route=_route(request), exc_info=exception)


def client_ip(request: HttpRequest) -> str:
    """
    Return the client's address as far as we can know it.

    `X-Forwarded-For` is counted back over `TRUSTED_PROXIES`; with none it is ignored,
    since anybody can send it. Empty, if what a proxy wrote there is no address.
    """
    forwarded = request.headers.get("X-Forwarded-For", "")
    proxies: int = settings.TRUSTED_PROXIES
    if not proxies or not forwarded:
        peer: str = request.META.get("REMOTE_ADDR", "")
        return peer
    hops = [hop.strip() for hop in forwarded.split(",")]
    try:
        # Who came past some of the proxies is who the first of the others saw.
        return str(ip_address(hops[-min(len(hops), proxies)]))
    except ValueError:
        return ""


def _route(request: HttpRequest) -> str:
    match = request.resolver_match
    return match.view_name if match else "unmatched"
