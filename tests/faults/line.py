"""
A way to a server that goes dead without either end being told.

A firewall that forgets a connection, a switch that is pulled: what was open stays open and
carries nothing, neither what is said nor that somebody hung up. Who connects anew gets through.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

AT_ONCE = struct.pack("ii", 1, 0)  # hang up with a reset, as a port does that nobody listens on
PIECE = 65_536  # bytes


@dataclass(eq=False)
class _Call:
    """One connection: two sockets, and whether what one says reaches the other."""

    ends: tuple[socket.socket, socket.socket]
    is_dead: bool = False

    def carry(self, whence: socket.socket, whither: socket.socket) -> None:
        with suppress(OSError):
            while piece := whence.recv(PIECE):
                if not self.is_dead:
                    whither.sendall(piece)
        if not self.is_dead:
            self.hang_up()

    def hang_up(self) -> None:
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(eq=False)
class Line:
    """From a port of its own to the one of a server on this machine."""

    to: int
    _door: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _calls: list[_Call] = field(default_factory=list)

    @classmethod
    @contextmanager
    def laid(cls, to: int) -> Iterator[Self]:
        line = cls(to)
        threading.Thread(target=line._answer, daemon=True).start()
        try:
            yield line
        finally:
            line._door.close()
            for call in line._calls:
                call.hang_up()

    @property
    def port(self) -> int:
        return int(self._door.getsockname()[1])

    def cut(self) -> int:
        """Let what is open carry nothing more; return how many connections that were."""
        alive = [call for call in self._calls if not call.is_dead]
        for call in alive:
            call.is_dead = True
        return len(alive)

    def _answer(self) -> None:
        with suppress(OSError):  # closed: nobody comes any more
            while True:
                near, _ = self._door.accept()
                self._connect(near)

    def _connect(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.to), timeout=2)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            near.close()
            return
        far.settimeout(None)
        call = _Call((near, far))
        self._calls.append(call)
        for ends in (call.ends, call.ends[::-1]):
            threading.Thread(target=call.carry, args=ends, daemon=True).start()
