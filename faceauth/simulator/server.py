"""The simulator on a port: the standard library's threads, HTTP/1.1 kept alive, no access log."""

import contextlib
import io
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from faceauth.simulator.app import Simulator
from faceauth.simulator.wire import LIMIT

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import WSGIEnvironment


class Server(ThreadingHTTPServer):
    """Serves one simulator, a thread per connection."""

    daemon_threads = True
    request_queue_size = 128  # terminals wake all at once

    def __init__(self, simulator: Simulator, host: str, port: int) -> None:
        self.simulator = simulator
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
        body = self._body()
        if body is None:
            self.send_error(411)
            return
        pieces = self.server.simulator(self._environ(body), self._start)
        self.end_headers()
        self.wfile.write(b"".join(pieces))

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: a request line carries the face_sid."""

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > LIMIT or "Transfer-Encoding" in self.headers:
            return None
        return self.rfile.read(int(length))

    def _start(
        self, status: str, headers: list[tuple[str, str]], _exc_info: "OptExcInfo | None" = None, /
    ) -> Callable[[bytes], Any]:
        self.send_response(int(status[:3]))
        for name, value in headers:
            self.send_header(name, value)
        return self.wfile.write

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
