"""
Many terminals at once: bytes made beforehand, over connections that stay open.

One thread and a selector, so that asking costs a fraction of answering; what a server can do is
not measured by how fast somebody asks.
"""

import re
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

CONNECTIONS = 32
PATIENCE = 30.0  # seconds without a single answer
IDLE = 10.0  # seconds after which they connect anew: a server hangs up on who says nothing
DONE = (b"HTTP/1.1 200 ", b"HTTP/1.1 202 ")
_CHUNK = 65_536
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")


class Unanswered(Exception):
    """The server went away, or answers something else than was asked for."""


@dataclass(frozen=True)
class Visit:
    """What it took to have everything answered."""

    seconds: float
    latencies: list[float] = field(repr=False)  # seconds, in order of arrival

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


class Visitors:
    """So many of them, who stay connected; each asks again as soon as it is answered."""

    def __init__(self, port: int, connections: int = CONNECTIONS) -> None:
        self._port, self._count = port, connections
        self._sockets: list[socket.socket] = []
        self._asked_at = float("-inf")

    def close(self) -> None:
        for one in self._sockets:
            one.close()

    def _connect(self) -> None:
        self.close()
        self._sockets = [
            socket.create_connection(("127.0.0.1", self._port)) for _ in range(self._count)
        ]
        for one in self._sockets:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, questions: Sequence[bytes]) -> Visit:
        """
        Have all `questions` answered with 200 or 202.

        :raises Unanswered:
        """
        if time.perf_counter() - self._asked_at > IDLE:
            self._connect()
        waiting = iter(questions)
        latencies: list[float] = []
        began = time.perf_counter()
        with selectors.DefaultSelector() as selector:
            talks = [_Talk(one) for one in self._sockets]
            busy = sum(talk.go_on(waiting) for talk in talks)
            for talk in talks[:busy]:
                selector.register(talk.socket, selectors.EVENT_READ, talk)
            while busy:
                ready = selector.select(PATIENCE)
                if not ready:
                    raise Unanswered(f"nothing in {PATIENCE:.0f} s")
                for key, _ in ready:
                    talk: _Talk = key.data
                    if not talk.is_answered():
                        continue
                    latencies.append(talk.took)
                    if not talk.go_on(waiting):
                        selector.unregister(talk.socket)
                        busy -= 1
        self._asked_at = time.perf_counter()
        return Visit(self._asked_at - began, latencies)


class _Talk:
    """One connection and the question it waits for."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.took = 0.0
        self._asked_at = 0.0
        self._received = b""

    def go_on(self, waiting: Iterator[bytes]) -> bool:
        """Ask what is next; return whether there was anything."""
        question = next(waiting, None)
        if question is None:
            return False
        self._received, self._asked_at = b"", time.perf_counter()
        self.socket.sendall(question)
        return True

    def is_answered(self) -> bool:
        """
        Take what came; return whether it is the whole answer.

        :raises Unanswered: it is neither a 200 nor a 202
        """
        chunk = self.socket.recv(_CHUNK)
        self._received += chunk
        if not chunk:
            raise Unanswered("the server hung up")
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or not _is_whole(head, body):
            return False
        self.took = time.perf_counter() - self._asked_at
        if not head.startswith(DONE):
            raise Unanswered(self._received.decode(errors="replace"))
        return True


def _is_whole(head: bytes, body: bytes) -> bool:
    if length := _LENGTH.search(head):
        return len(body) >= int(length[1])
    return body.endswith(b"0\r\n\r\n")  # chunked: nobody told the server how long it is
