"""The notary at work: one of them, once a second, for as long as nobody stops it."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from hospital.audit.holding import Hold, alone
from hospital.audit.notary import Notary

TOLD_AGAIN: Final = 60.0  # seconds, while another holds the lock

logger = structlog.get_logger(__name__)

Opened = Callable[[datetime], Notary]


class Busy(Exception):
    """Another notary holds the lock."""


def run(opened: Opened, hold: Hold, *, interval: float, stop: threading.Event) -> None:
    """
    Step every `interval` seconds until `stop` is set; while another holds the lock, wait.

    The database may go away and come back.

    :raises Refused: what is stored does not continue what was signed
    """
    tell_from = 0.0
    while not stop.is_set():
        try:
            if not hold.take():
                if time.monotonic() >= tell_from:  # another notary, or whoever can take a lock
                    logger.warning("notary.waiting", reason="another holds the lock")
                    tell_from = time.monotonic() + TOLD_AGAIN
                stop.wait(interval)
                continue
            tell_from = 0.0
            logger.info("notary.started")
            _work(opened(timezone.now()), hold, interval=interval, stop=stop)
        except (OperationalError, InterfaceError) as exc:
            logger.warning("notary.interrupted", reason=type(exc).__name__)
            stop.wait(interval)
        finally:
            hold.release()
            connection.close()


def drain(opened: Opened, hold: Hold) -> int:
    """
    Seal what is pending; return how large the log is then.

    :raises Busy:
    :raises Refused: what is stored does not continue what was signed
    """
    with alone(hold, refusal=Busy()):
        notary = opened(timezone.now())
        while notary.step(now=timezone.now()):
            pass
        notary.step(now=timezone.now())  # what was found wrong in the last one
        notary.anchor(now=timezone.now())
        notary.settle(now=timezone.now())
        return notary.tree.size


def _work(notary: Notary, hold: Hold, *, interval: float, stop: threading.Event) -> None:
    while not stop.is_set() and hold.is_ours():
        began = time.monotonic()
        more = notary.step(now=timezone.now())
        if not more:
            stop.wait(max(0.0, interval - (time.monotonic() - began)))
    if hold.is_ours():  # stopped: the last second as well
        notary.step(now=timezone.now())
        notary.anchor(now=timezone.now())
        notary.settle(now=timezone.now())
