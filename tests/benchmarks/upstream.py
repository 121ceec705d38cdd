"""
A process that answers every GET with the same bytes, as cheaply as Python can.

The bytes are one answer of the simulator, signed beforehand: what is measured is the client.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

ACCEPTS = "/accepts"


@dataclass(frozen=True)
class Upstream:
    base_url: str

    def accepts(self) -> int:
        """Return how many connections were opened so far; the one that asks is not counted."""
        with urlopen(self.base_url + ACCEPTS) as answer:  # noqa: S310 - a loopback address
            return int(answer.read())


@contextmanager
def answering(reply: bytes) -> Iterator[Upstream]:
    """Run the process for as long as the block lasts; it ends with its standard input."""
    command = [sys.executable, "-S", "-E", __file__, str(len(reply))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(reply)
        process.stdin.flush()
        yield Upstream(f"http://127.0.0.1:{int(process.stdout.readline())}")
        process.stdin.close()


class _Connection(asyncio.Protocol):
    reply = b""
    accepts = questions = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._head = b""
        _Connection.accepts += 1

    def data_received(self, data: bytes) -> None:
        self._head += data
        while b"\r\n\r\n" in self._head:  # a GET is its head
            head, _, self._head = self._head.partition(b"\r\n\r\n")
            asked = head.startswith(b"GET " + ACCEPTS.encode())
            self._transport.write(self._counted() if asked else self.reply)

    def _counted(self) -> bytes:
        _Connection.questions += 1
        body = b"%d" % (self.accepts - self.questions)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def _serve(length: int) -> None:
    _Connection.reply = sys.stdin.buffer.read(length)
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
