"""
The simulator on a port: the standard library's threads, HTTP/1.1 kept alive, no access log.

A page elsewhere can have its own name lead here (DNS rebinding), and its scripts would then be
of one origin with ours. It cannot be called by an address: who names none is not answered.
"""

import contextlib
import io
import socket
import struct
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from faceauth.simulator.app import Simulator
from faceauth.simulator.wire import LIMIT, Reply, Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Server(ThreadingHTTPServer):
    """Serves one simulator, a thread per connection."""

    daemon_threads = True
    request_queue_size = 128  # terminals wake all at once

    def __init__(self, simulator: Simulator, host: str, port: int) -> None:
        self.simulator = simulator
        self.names = frozenset({"localhost", host.lower()})
        super().__init__((host, port), _Connection)

    @property
    def base_url(self) -> str:
        """Where clients find it."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"


def listen(simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0) -> Server:
    """
    Bind to a port, 0 for any free one; `serve_forever()` on the result serves.

    :raises OSError: the port is taken
    """
    return Server(simulator, host, port)


class _Connection(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60  # seconds an idle connection is kept

    def handle(self) -> None:
        """Serve a connection for as long as the other side is there; it may not wait for us."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        if not self._is_meant():
            self.close_connection = True  # its body, if any, was not read
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        body = self._body()
        if body is None:
            self.send_error(411)
            return
        reply = self.server.simulator.reply(Request.read(self._environ(body)))
        if reply.fault == "reset":
            self._reset()
        else:
            self._send(reply)

    do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: a request line carries the face_sid."""

    def _is_meant(self) -> bool:
        """Return whether it was asked for by its address, or by a name it was told to have."""
        hosts = self.headers.get_all("Host", [])
        try:
            [name] = [urlsplit(f"//{host}").hostname for host in hosts]
        except ValueError:
            return False
        return name in self.server.names or _is_address(name or "")

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > LIMIT or "Transfer-Encoding" in self.headers:
            return None
        return self.rfile.read(int(length))

    def _send(self, reply: Reply) -> None:
        head, body = self._head(reply), reply.body
        if reply.fault == "drip":
            self._drip(head, reply.seconds)
            head = b""
        if reply.fault == "drop":
            body = body[: len(body) // 2]
            self.close_connection = True
        self.wfile.write(head + body)

    def _head(self, reply: Reply) -> bytes:
        headers = {
            "Date": self.date_time_string(),
            **reply.headers,
            "Content-Length": str(len(reply.body)),
        }
        lines = [
            f"{self.protocol_version} {reply.status} {HTTPStatus(reply.status).phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")

    def _drip(self, head: bytes, seconds: float) -> None:
        """Send the head a byte at a time, so that no single read waits for long."""
        for position in range(len(head)):
            self.wfile.write(head[position : position + 1])
            time.sleep(seconds / len(head))

    def _reset(self) -> None:
        """Close the connection with RST, which is what SO_LINGER of zero seconds does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()  # before socketserver's shutdown(), which would say FIN first
        self.close_connection = True

    def _environ(self, body: bytes) -> "WSGIEnvironment":
        path, _, query = self.path.partition("?")
        sent = {
            f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()
        }
        return {
            **sent,
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": self.path,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
