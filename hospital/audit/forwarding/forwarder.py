"""
The forwarder: sends sealed leaves in order, and remembers how far they were read.

The log itself is the buffer. What was sent on a connection that did not end in order is sent again,
so the receiver has each leaf at least once and tells doubles by origin, index and hash.
"""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from django.db.models import QuerySet

from hospital.audit.forwarding import leaves
from hospital.audit.forwarding.leaves import Damaged
from hospital.audit.forwarding.syslog import Sender
from hospital.audit.forwarding.wire import Away, Wire
from hospital.audit.sent import Forwarded

AT_ONCE: Final = 200  # leaves read and written in one go
HELD: Final = 5.0  # seconds that what was sent waits to be acknowledged
LONGEST: Final = 8_000  # leaves on one connection; fewer where the receiver is too slow for them
_FIRST: Final = 1_000


class Forwarder:
    """
    Who sends to one receiver. Only who holds the lock may (`hospital.audit.holding`).

    :param sink: the receiver's name in `Forwarded`
    :param clock: seconds; one that nobody sets back
    """

    def __init__(
        self,
        sink: str,
        sender: Sender,
        *,
        connect: Callable[[], Wire],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink, self._sender, self._connect, self.clock = sink, sender, connect, clock
        self._wire: Wire | None = None
        self._opened_at: float | None = None
        self._span = _FIRST
        self.acknowledged = self._sent = 0
        self.is_done = False  # as of the last step: everything sealed was read

    def step(self, *, now: datetime) -> bool:
        """
        Send what is next, or have it acknowledged; return whether there is more to do at once.

        :raises Away: the receiver; what it did not acknowledge will be sent again
        :raises Damaged: the log is not what it was
        """
        self._recall(now)
        end = leaves.signed()
        if end < self.acknowledged:
            raise Damaged("shrunk", acknowledged=self.acknowledged, found=end)
        self.is_done = self.acknowledged == end
        until = min(end, self._sent + AT_ONCE, self.acknowledged + self._span)
        try:
            return self._step(until, end, now)
        except Away:
            self._span = max(self._span // 2, 1)
            self.drop()
            raise

    def finish(self, *, now: datetime) -> None:
        """
        Have what was sent acknowledged.

        :raises Away:
        """
        if self._wire:
            try:
                self._finish(now)
            finally:
                self.drop()

    def drop(self) -> None:
        """Let go of the connection: what was not acknowledged is sent again."""
        if self._wire:
            self._wire.drop()
        self._wire = self._opened_at = None
        self._sent = self.acknowledged

    def _step(self, until: int, end: int, now: datetime) -> bool:
        if until > self._sent and not self._is_held_too_long():
            try:
                self._send(until, now)
            except Damaged:
                if not self._wire:
                    raise
                self._finish(now)  # what is before it is acknowledged first
            return True
        if self._wire and (until < end or self._is_held_too_long()):
            self._finish(now)
            return self._sent < end
        return False

    def _recall(self, now: datetime) -> None:
        """Go on from the row, which somebody may have put back meanwhile."""
        row, _ = Forwarded.objects.get_or_create(sink=self._sink, defaults={"at": now})
        if row.acknowledged != self.acknowledged:
            self.acknowledged = row.acknowledged
            self.drop()

    def _is_held_too_long(self) -> bool:
        return self._opened_at is not None and self.clock() - self._opened_at >= HELD

    def _send(self, until: int, now: datetime) -> None:
        entries = leaves.entries(self._sent, until)
        if self._wire is None:
            self._wire, self._opened_at = self._connect(), self.clock()
        self._wire.write(b"".join(map(self._sender.frame, entries)))
        self._sent += len(entries)
        self._row().update(sent=self._sent, at=now)

    def _finish(self, now: datetime) -> None:
        wire, read = self._wire, self._sent
        if wire is None:
            return
        self._wire, self._opened_at = None, None
        wire.finish()
        if self._row().update(acknowledged=read, sent=read, at=now):
            self.acknowledged = read
        self._span = min(self._span * 2, LONGEST)

    def _row(self) -> QuerySet[Forwarded]:
        """Where we believe to be: an update of it changes nothing if it was put back."""
        return Forwarded.objects.filter(sink=self._sink, acknowledged=self.acknowledged)
