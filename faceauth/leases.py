"""
A session stays in hand for as long as its worker lives, and hardly longer.

A lease is short, so that what a killed worker held is soon another's; WeChat may take longer to
answer. What has been in hand for a while is renewed by a thread of the process that has it.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import DatabaseError, InterfaceError, connection

from faceauth.models import LEASE, FaceSession

EVERY: Final = LEASE / 4  # most sessions are done before the first
LONGEST: Final = timedelta(seconds=45)  # then whoever has it is given up, alive or not

log = structlog.get_logger(__name__)


@dataclass
class _Held:
    """
    One lease.

    :ivar due_at: until when, as it lies on disk; another value there is another's word
    """

    session: UUID
    attempts: int
    since: datetime
    due_at: datetime | None


_leases: dict[int, _Held] = {}
_lock = threading.Lock()
_renewing: int | None = None  # the process whose thread it is: a fork has none


@contextmanager
def holding(session: FaceSession, *, clock: Callable[[], datetime]) -> Iterator[None]:
    """Keep a claimed session ours until the block is done."""
    held = _Held(session.pk, session.attempts, clock(), session.due_at)
    with _lock:
        _see_to_thread(clock)
        _leases[id(held)] = held
    try:
        yield
    finally:
        with _lock:
            del _leases[id(held)]


def renew(*, at: datetime) -> None:
    """Renew what has been in hand for a while; what ended meanwhile is left alone."""
    with _lock:
        held = [one for one in _leases.values() if EVERY <= at - one.since <= LONGEST]
    for one in held:
        mine = FaceSession.objects.filter(
            pk=one.session,
            state=FaceSession.State.AUTHORIZED,
            attempts=one.attempts,
            due_at=one.due_at,
        )
        if mine.update(due_at=at + LEASE):
            one.due_at = at + LEASE


def _see_to_thread(clock: Callable[[], datetime]) -> None:
    global _renewing  # noqa: PLW0603 (one thread a process)
    if _renewing != os.getpid():
        threading.Thread(target=_renew_for_ever, args=(clock,), name="leases", daemon=True).start()
        _renewing = os.getpid()  # not before: one that could not start is tried again


def _renew_for_ever(clock: Callable[[], datetime]) -> None:
    pause = threading.Event()  # nobody sets it
    while True:
        pause.wait(EVERY.total_seconds())
        if not _leases:
            continue
        try:
            renew(at=clock())
        except (DatabaseError, InterfaceError) as exc:  # then it may run out, which is safe
            log.warning("leases", exc_info=exc)
        finally:
            connection.close()
