"""
A process that answers for WeChat with bytes the simulator signed beforehand.

Answering costs next to nothing, and takes as long as it is told to: what is measured is whoever
asks. An answer is good for five minutes, as every signed one.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import urlopen

ACCEPTS = "/accepts"
USERS = b"/v3/facemch/users/"
ANYBODY = ""  # in the place of a face_sid


@dataclass(frozen=True)
class Upstream:
    base_url: str

    def accepts(self) -> int:
        """Return how many connections were opened so far; the one that asks is not counted."""
        with urlopen(self.base_url + ACCEPTS) as answer:  # noqa: S310 - a loopback address
            return int(answer.read())


@contextmanager
def answering(answers: Mapping[str, bytes], *, delay: float = 0.0) -> Iterator[Upstream]:
    """
    Run the process for as long as the block lasts; it ends with its standard input.

    :param answers: face_sid, or `ANYBODY`, → the answer as it goes over the wire
    :param delay: seconds each answer takes
    """
    command = [sys.executable, "-S", "-E", __file__, str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        known = {face_sid: answer.decode("latin-1") for face_sid, answer in answers.items()}
        process.stdin.write(json.dumps(known).encode() + b"\n")
        process.stdin.flush()
        yield Upstream(f"http://127.0.0.1:{int(process.stdout.readline())}")
        process.stdin.close()


class _Connection(asyncio.Protocol):
    answers: Mapping[bytes, bytes]
    anybody: bytes | None
    delay = 0.0
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
            if head.startswith(b"GET " + ACCEPTS.encode()):
                self._transport.write(self._counted())
            elif self.delay:
                loop = asyncio.get_running_loop()
                loop.call_later(self.delay, self._transport.write, self._answer(head))
            else:
                self._transport.write(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        if self.anybody is not None:
            return self.anybody
        return self.answers[head.partition(USERS)[2].partition(b"?")[0]]

    def _counted(self) -> bytes:
        _Connection.questions += 1
        body = b"%d" % (self.accepts - self.questions)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def _serve(delay: float) -> None:
    known = json.loads(sys.stdin.buffer.readline())
    _Connection.answers = {one.encode(): known[one].encode("latin-1") for one in known}
    _Connection.anybody = _Connection.answers.get(ANYBODY.encode())
    _Connection.delay = delay
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
