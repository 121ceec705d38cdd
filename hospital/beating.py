"""
The beat: any number of them run, anywhere, and one of them sends what is due.

Which one is decided by a lock that ends with the process that holds it, whatever ends that:
PostgreSQL's, or with SQLite, whose file is here, a file's. The others look every second.
When what is rare last ran is in the shared cache, so that the next holder sends what the
last one could not.
"""

import os
import time
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import structlog
from billiard.process import current_process
from celery.beat import Scheduler, SchedulingError
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, InterfaceError, connection
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from hospital.audit.holding import AdvisoryLock, Hold, hold

STEP: Final = 1.0  # seconds between two looks at who holds
STEPPED: Final = 1.0  # seconds that a clock is set by, rather than drifts
LEASE: Final = 15  # seconds without a question
RARE: Final = 600.0  # seconds; what runs less often than this is remembered
_PREFIX: Final = "beat:"

_Lost = (DatabaseError, InterfaceError)
_Forgetful = (DatabaseError, OSError, RedisError)

logger = structlog.get_logger(__name__)


class Lease(AdvisoryLock):
    """A lock that the server takes from a holder that asks nothing: one that hangs."""

    def take(self) -> bool:
        return super().take() and self._limit(f"{LEASE}s")

    def _limit(self, idle: str) -> bool:
        return self._ask(f"SELECT set_config('idle_session_timeout', '{idle}', false) <> %s::text")


class OneOfMany(Scheduler):
    """What `celery beat` and `worker --beat` run (`CELERY_BEAT_SCHEDULER`)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._is_ours = False
        self._stands_by = False  # and has said so
        self._looked_at = 0.0  # time.monotonic() of the last look at the hold
        self._sent_at = 0.0  # … of the last message a broker took
        self._stand_back_until = 0.0
        self._parent = os.getppid()
        self._clock = _offset()
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send one thing that is due, if we hold; return after how many seconds to come again."""
        if self._is_orphan():
            raise SystemExit
        if not self._holds():
            return STEP
        self._look_at_clock()
        try:
            return min(super().tick(*args, **kwargs), STEP)
        except (SchedulingError, KombuError, OSError) as exc:
            self._note_unsent(exc)
            return STEP

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send it; what no broker takes is due again, and a beat that sends nothing gives way."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as exc:
            if not isinstance(exc.__context__, KombuError | OSError):
                logger.exception("beat.unsendable", entry=entry.name)
                return
            self.schedule[entry.name] = entry
            raise
        self._sent_at = time.monotonic()
        if _is_rare(entry):
            self._remember([self.schedule[entry.name]])

    def close(self) -> None:
        super().close()
        self._let_go()

    def _ensure_connected(self) -> Any:
        return self.connection.ensure_connection(max_retries=0)

    def _holds(self) -> bool:
        now = time.monotonic()
        if now < self._stand_back_until:
            return False
        if self._is_ours and now < self._looked_at + STEP:
            return True
        was_ours, self._is_ours = self._is_ours, self._look()
        self._looked_at = time.monotonic()
        if was_ours and not self._is_ours:
            logger.warning("beat.interrupted", reason="the lock is lost")
            self._lock.release()
        if not self._is_ours and not self._stands_by:
            self._stands_by = True
            logger.warning("beat.stands_by")
        if self._is_ours and not was_ours:
            self._stands_by = False
            logger.warning("beat.holds")
            self._sent_at = self._looked_at
            self._recall()
            self._heap = None
        return self._is_ours

    def _look(self) -> bool:
        try:
            return self._lock.is_ours() if self._is_ours else self._lock.take()
        except _Lost as exc:
            logger.warning("beat.waits", reason=type(exc).__name__)
            self._lock.release()
            return False

    def _let_go(self) -> None:
        if self._is_ours:
            self._is_ours = False
            self._lock.release()

    @cached_property
    def _lock(self) -> Hold:
        """Made late: a connection does not survive that a worker forks off its beat."""
        return (
            Lease("beat")
            if connection.vendor == "postgresql"
            else hold(settings.VAR_DIR, of="beat")
        )

    def _note_unsent(self, exc: Exception) -> None:
        # Its connection may never work again, and its schedule has lost the entry.
        logger.warning("beat.unsent", reason=type(exc.__context__ or exc).__name__)
        super().close()
        self._heap = None
        if time.monotonic() > self._sent_at + settings.BEAT_PATIENCE:
            logger.warning("beat.gives_way")
            self._let_go()
            # Long enough for another to take it, and no longer: there may be no other.
            self._stand_back_until = time.monotonic() + 3 * STEP

    def _look_at_clock(self) -> None:
        """What ran in a future that a clock was set back from would not run until then."""
        moved, self._clock = _offset() - self._clock, _offset()
        if abs(moved) < STEPPED:
            return
        logger.warning("beat.clock_stepped", seconds=round(moved))
        entries: list[Any] = list(self.schedule.values())
        for entry in entries:
            entry.last_run_at = min(entry.last_run_at, entry.default_now())
        self._heap = None

    def _recall(self) -> None:
        rare: list[Any] = [entry for entry in self.schedule.values() if _is_rare(entry)]
        try:
            known = cache.get_many([_PREFIX + entry.name for entry in rare])
        except _Forgetful as exc:
            logger.warning("beat.forgetful", reason=type(exc).__name__)
            return
        for entry in rare:
            last: datetime | None = known.get(_PREFIX + entry.name)
            if last:
                entry.last_run_at = min(last, entry.default_now())
        self._remember([entry for entry in rare if _PREFIX + entry.name not in known])

    def _remember(self, entries: Iterable[Any]) -> None:
        try:
            cache.set_many({_PREFIX + one.name: one.last_run_at for one in entries}, timeout=None)
        except _Forgetful as exc:
            logger.warning("beat.forgetful", reason=type(exc).__name__)

    def _is_orphan(self) -> bool:
        """Whether the worker that brought this beat along (`--beat`) is gone."""
        return current_process().name == "Beat" and os.getppid() != self._parent


def _is_rare(entry: Any) -> bool:
    interval = getattr(entry.schedule, "run_every", None)
    return interval is None or interval.total_seconds() >= RARE


def _offset() -> float:
    """Return how far the wall clock is from one that nobody sets, in seconds."""
    return time.time() - time.monotonic()
