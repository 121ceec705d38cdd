"""
The page on 127.0.0.1: its files, a stream of what to show, and the buttons.

Nobody but the browser on this very box is meant to ask. Another site open in that browser may
try: its name in `Host` (DNS rebinding), its `Origin`, or its missing cookie give it away.
"""

import contextlib
import hmac
import json
import os
import re
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from weakref import WeakSet

from devices.agent.kiosk.board import Board, NotNow

HOST = "127.0.0.1"
COOKIE = "kiosk"
LONGEST_BODY = 4096  # bytes
MOST_STREAMS = 8  # one page needs one; a page that reloads may leave another behind for a while
KEEP_ALIVE = 10.0  # seconds: a stream without news still says that we are here

_FILES = resources.files("devices.agent.kiosk") / "page"
_NAME = re.compile(r"/page/([a-z]+\.(css|js|svg))", re.ASCII)
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_GUARD = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class PortTaken(Exception):
    """Another program listens there, or this one may not."""


class Server(ThreadingHTTPServer):
    """Serves one board to the browser on this machine, a thread per connection."""

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would let a second program take the port

    def __init__(self, board: Board, *, port: int) -> None:
        """
        Bind to the loopback address, port 0 for any free one.

        :raises PortTaken:
        """
        self.board = board
        self.token = secrets.token_urlsafe(32)  # of this start of the program only
        self.streams = threading.BoundedSemaphore(MOST_STREAMS)
        self._connections: WeakSet[socket.socket] = WeakSet()
        try:
            super().__init__((HOST, port), _Connection)
        except (OSError, OverflowError) as exc:
            raise PortTaken(str(port)) from exc

    @property
    def url(self) -> str:
        """What the browser opens."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, str]:
        """The names by which the browser on this machine may call us."""
        return f"{HOST}:{self.server_port}", f"localhost:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def hang_up(self) -> None:
        """End what is still connected: a browser keeps its connections for the next request."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # gone already
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serving(board: Board, *, port: int) -> Iterator[Server]:
    """
    Serve until the block ends; then the board is wiped.

    :raises PortTaken:
    """
    with Server(board, port=port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield server
        finally:
            board.close()
            server.shutdown()
            thread.join()
            server.hang_up()


class _Refused(Exception):
    def __init__(self, status: HTTPStatus) -> None:
        super().__init__()
        self.status = status


class _Connection(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60  # seconds an idle connection is kept

    def do_GET(self) -> None:
        self._reply(self._get)

    def do_POST(self) -> None:
        self._reply(self._post)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def version_string(self) -> str:
        return COOKIE

    def _reply(self, answer: Callable[[], None]) -> None:
        try:
            self._require_our_name()
            answer()
        except _Refused as refused:
            self.close_connection = True  # its body, if any, was not read
            self._send(refused.status)
        except NotNow:
            self._send(HTTPStatus.CONFLICT)

    def _get(self) -> None:
        match = _NAME.fullmatch(self.path)
        if self.path == "/":
            cookie = f"{COOKIE}={self.server.token}; Path=/; HttpOnly; SameSite=Strict"
            self._send_file("index.html", "html", {"Set-Cookie": cookie})
        elif match is not None and (_FILES / match[1]).is_file():
            self._send_file(match[1], match[2], {})
        elif self.path == "/events":
            self._stream()
        else:
            raise _Refused(HTTPStatus.NOT_FOUND)

    def _post(self) -> None:
        if self.headers.get("Origin") != f"http://{self.headers['Host']}":
            raise _Refused(HTTPStatus.FORBIDDEN)
        self._require_cookie()
        body, board = self._body(), self.server.board
        turn = body.get("turn")
        if type(turn) is not int:
            raise _Refused(HTTPStatus.BAD_REQUEST)
        match self.path:
            case "/start":
                board.start(turn)
            case "/answer":
                granted, purposes = _answer(body)
                board.answer(turn, granted=granted, purposes=purposes)
            case "/touch":
                board.touch(turn)
            case "/withdraw":
                board.withdraw(turn)
            case "/dismiss":
                board.dismiss(turn)
            case _:
                raise _Refused(HTTPStatus.NOT_FOUND)
        self._send(HTTPStatus.NO_CONTENT)

    def _stream(self) -> None:
        self._require_cookie()
        if not self.server.streams.acquire(blocking=False):
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            self._send(
                HTTPStatus.OK, {"Content-Type": "text/event-stream; charset=utf-8"}, body=None
            )
            self.close_connection = True
            self._tell()
        finally:
            self.server.streams.release()

    def _tell(self) -> None:
        version = -1
        while not self.server.board.is_closed:
            version, view = self.server.board.watch(after=version, timeout=KEEP_ALIVE)
            line = ":" if view is None else f"data: {json.dumps(view, ensure_ascii=False)}"
            self.wfile.write(f"{line}\n\n".encode())

    def _require_our_name(self) -> None:
        if self.headers.get_all("Host") not in [[host] for host in self.server.hosts]:
            raise _Refused(HTTPStatus.MISDIRECTED_REQUEST)

    def _require_cookie(self) -> None:
        try:
            sent = SimpleCookie(self.headers.get("Cookie", "")).get(COOKIE)
        except CookieError:
            sent = None
        is_ours = sent is not None and hmac.compare_digest(
            sent.value.encode(), self.server.token.encode()
        )
        if not is_ours or self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise _Refused(HTTPStatus.FORBIDDEN)

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Content-Type") != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            raise _Refused(HTTPStatus.LENGTH_REQUIRED)
        if int(length) > LONGEST_BODY:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            raise _Refused(HTTPStatus.BAD_REQUEST) from None
        if not isinstance(body, dict):
            raise _Refused(HTTPStatus.BAD_REQUEST)
        return body

    def _send_file(self, name: str, kind: str, headers: dict[str, str]) -> None:
        body = (_FILES / name).read_bytes()
        self._send(HTTPStatus.OK, {"Content-Type": _TYPES[kind], **headers}, body=body)

    def _send(
        self, status: int, headers: dict[str, str] | None = None, *, body: bytes | None = b""
    ) -> None:
        """Send an answer; with no `body` at all, one whose end is the connection's."""
        self.send_response(status)
        for name, value in {**_GUARD, **(headers or {})}.items():
            self.send_header(name, value)
        if body is not None and status != HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        if body is None or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body or b"")


def _answer(body: dict[str, Any]) -> tuple[bool, list[str]]:
    granted, purposes = body.get("granted"), body.get("purposes")
    if not isinstance(granted, bool) or not isinstance(purposes, list):
        raise _Refused(HTTPStatus.BAD_REQUEST)
    if not all(isinstance(code, str) for code in purposes):
        raise _Refused(HTTPStatus.BAD_REQUEST)
    return granted, purposes
