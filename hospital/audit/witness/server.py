"""The witness over HTTP: one path, `POST /add-checkpoint`, as WSGI and as a small server."""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from hospital.audit.witness import (
    BadRequest,
    Elsewhere,
    Inconsistent,
    UnknownKey,
    UnknownOrigin,
)
from hospital.audit.witness.desk import Desk

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

LARGEST: Final = 64 * 1024  # bytes of a question; one has 63 hashes and a note
PATIENCE: Final = 10  # seconds for a whole connection, however slowly its bytes come

_TEXT, _SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"
_REFUSALS: Final = {
    BadRequest: "400 Bad Request",
    UnknownKey: "403 Forbidden",
    UnknownOrigin: "404 Not Found",
    Inconsistent: "422 Unprocessable Entity",
}

Clock = Callable[[], float]


def application(desk: Desk, *, clock: Clock = time.time) -> "WSGIApplication":
    """Return the WSGI application that answers at this desk."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status, kind, text = _answer(desk, environ, at=int(clock()))
        body = text.encode()
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def _answer(desk: Desk, environ: "WSGIEnvironment", *, at: int) -> tuple[str, str, str]:
    if environ["PATH_INFO"] != "/add-checkpoint":
        return "404 Not Found", _TEXT, ""
    if environ["REQUEST_METHOD"] != "POST":
        return "405 Method Not Allowed", _TEXT, ""
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isdecimal() or int(length) > LARGEST:
        return "413 Content Too Large", _TEXT, ""
    try:
        line = desk.answer(environ["wsgi.input"].read(int(length)), at=at)
    except Elsewhere as exc:
        return "409 Conflict", _SIZE, f"{exc.size}\n"
    except tuple(_REFUSALS) as exc:
        return _REFUSALS[type(exc)], _TEXT, ""
    return "200 OK", _TEXT, line


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Connection(WSGIRequestHandler):
    """One question. A timeout of the socket would begin anew with each byte."""

    def handle(self) -> None:
        end = threading.Timer(PATIENCE, self._hang_up)
        end.daemon = True
        end.start()
        try:
            super().handle()
        finally:
            end.cancel()

    def _hang_up(self) -> None:
        with suppress(OSError):  # it is over already
            self.connection.shutdown(socket.SHUT_RDWR)


def listen(desk: Desk, *, host: str, port: int) -> WSGIServer:
    """
    Return a server that is listening; `serve_forever` answers.

    :raises OSError: somebody else listens there
    """
    return make_server(
        host, port, application(desk), server_class=_Server, handler_class=_Connection
    )
