"""The forwarder at work: one of them, for as long as nobody stops it."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from hospital.audit.forwarding.forwarder import Forwarder
from hospital.audit.forwarding.leaves import Damaged
from hospital.audit.forwarding.wire import Away
from hospital.audit.holding import Hold, alone

IDLE: Final = 1.0  # seconds until it looks again
LONGEST: Final = 60.0  # seconds until it tries again
ALARMED: Final = 900.0  # seconds without anything acknowledged that should be

logger = structlog.get_logger(__name__)


class Busy(Exception):
    """Another forwarder holds the lock."""


def run(opened: Callable[[], Forwarder], hold: Hold, *, stop: threading.Event) -> None:
    """
    Forward until `stop` is set; while another holds the lock, wait.

    The receiver and the database may go away and come back.
    """
    trouble = Trouble()
    while not stop.is_set():
        try:
            if not hold.take():
                stop.wait(IDLE)
                continue
            logger.info("forwarder.started")
            _work(opened(), hold, trouble, stop)
        except (OperationalError, InterfaceError) as exc:
            stop.wait(trouble.grown(f"database:{type(exc).__name__}", at=time.monotonic()))
        finally:
            hold.release()
            connection.close()


def drain(opened: Callable[[], Forwarder], hold: Hold) -> None:
    """
    Forward what is sealed, and have it acknowledged.

    :raises Busy:
    :raises Away:
    :raises Damaged:
    """
    with alone(hold, refusal=Busy()):
        forwarder = opened()
        try:
            while forwarder.step(now=timezone.now()):
                pass
            forwarder.finish(now=timezone.now())
        finally:
            forwarder.drop()


@dataclass
class Trouble:
    """
    How long it does not go as it should, and how patiently it is tried again.

    :param since: seconds, by a clock that nobody sets back
    """

    since: float | None = None
    delay: float = 0.0
    is_alarmed: bool = False

    def grown(self, code: str, *, at: float, **numbers: int) -> float:
        """Note a failure; return the seconds to wait."""
        self.since = at if self.since is None else self.since
        self.delay = min(2 * self.delay or IDLE, LONGEST)
        logger.warning("forwarder.interrupted", code=code, **numbers)
        lasted = at - self.since
        if lasted >= ALARMED and not self.is_alarmed:
            self.is_alarmed = True
            logger.error("forwarder.away", code=code, seconds=int(lasted))
        return self.delay

    def over(self) -> None:
        if self.since is not None:
            logger.info("forwarder.resumed")
        self.since, self.delay, self.is_alarmed = None, 0.0, False


def _work(forwarder: Forwarder, hold: Hold, trouble: Trouble, stop: threading.Event) -> None:
    try:
        while not stop.is_set() and hold.is_ours():
            before = forwarder.acknowledged
            try:
                more = forwarder.step(now=timezone.now())
            except Away as exc:
                stop.wait(trouble.grown(exc.code, at=time.monotonic()))
                continue
            except Damaged as exc:
                stop.wait(trouble.grown(exc.code, at=time.monotonic(), **exc.numbers))
                continue
            # That it took something says little: it is over when it has read something.
            if forwarder.acknowledged > before or forwarder.is_done:
                trouble.over()
            if not more:
                stop.wait(IDLE)
        if hold.is_ours():
            forwarder.finish(now=timezone.now())
    except Away as exc:
        logger.warning("forwarder.interrupted", code=exc.code)
    finally:
        forwarder.drop()
