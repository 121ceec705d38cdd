"""
A worker that is alive and never takes a message again: noticed by what waits, and begun anew.

After a broker restarted, Celery's consumer may wait for ever on a line that is dead, with the
process alive and everything green. It is wedged if at every look of a stretch of time it had a
hand free, nothing came, and something was there to come: messages that a broker of which we
ask anew says are ready, or, for a worker to which something came before, rows that are due.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from billiard.process import active_children
from celery import bootsteps, signals
from celery.worker import state
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from hospital import begun_anew, figures
from hospital.leaderless import Taker

LOOK: Final = 1.0  # seconds between two looks
FINISH: Final = 5.0  # seconds for who is still at work before it begins anew
CHILDREN: Final = 2.0  # seconds its children have to end by themselves
RESTARTS: Final = "watchdog:restarts"  # counted: how many of them, of all workers

logger = structlog.get_logger(__name__)


@dataclass
class Received:
    """How many messages came, and none is forgotten between two looks."""

    count: int = 0

    def note(self, **_kwargs: Any) -> None:
        self.count += 1


@dataclass(frozen=True)
class Waiting:
    """What was there to come at one look."""

    ready: int = 0  # messages
    due: int = 0  # rows

    def __bool__(self) -> bool:
        return bool(self.ready or self.due)


class Broker:
    """A line of our own to the broker, asked how many messages wait."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._line: Any = None  # kombu's Connection

    def ready(self) -> int | None:
        """Return how many; None if it does not answer."""
        try:
            if self._line is None:
                self._line = self._app.connection_for_write(heartbeat=0)
                self._line.ensure_connection(max_retries=0)
            with self._line.channel() as channel:
                return sum(
                    int(channel.queue_declare(queue=name, passive=True).message_count)
                    for name in self._app.amqp.queues.consume_from
                )
        except self._errors():
            self.hang_up()
            return None

    def hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            with suppress(Exception):  # whatever a broken line says when it is put down
                line.release()

    def _errors(self) -> tuple[type[BaseException], ...]:
        ours = (KombuError, OSError, RedisError)
        if self._line is None:
            return ours
        return (*ours, *self._line.connection_errors, *self._line.channel_errors)


class Watch:
    """The looks at one worker; a verdict only after an unbroken stretch of bad ones."""

    def __init__(self, worker: Any, received: Received) -> None:
        self._worker = worker
        self._received = received
        self._broker = Broker(worker.app)
        self._seen = 0
        self._bad_since: float | None = None

    def look(self) -> Waiting | None:
        """Return what waits, once it has waited for `WATCHDOG_SECONDS`; else None."""
        waits = self._waits()
        if not waits:
            self._bad_since = None
            return None
        if self._bad_since is None:
            self._bad_since = time.monotonic()
        return waits if time.monotonic() - self._bad_since >= settings.WATCHDOG_SECONDS else None

    def _waits(self) -> Waiting | None:
        came = self._received.count != self._seen
        self._seen = self._received.count
        # Who asks to take and is not answered asks anew by itself.
        if came or Taker.unanswered or not self._has_a_hand_free():
            self._broker.hang_up()
            return None
        ready = self._broker.ready()
        if ready is None:  # then nothing can come
            return None
        return Waiting(ready, _due() if self._seen else 0)

    def _has_a_hand_free(self) -> bool:
        return bool(len(state.active_requests) < self._worker.concurrency)


class Watchdog(bootsteps.StartStopStep):
    """Runs beside the consumer in every worker; 0 seconds: in none."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **_options: Any) -> None:
        self._stop = threading.Event()
        self._received = Received()

    def include_if(self, worker: Any) -> bool:
        return bool(settings.WATCHDOG_SECONDS > 0)

    def start(self, worker: Any) -> None:
        signals.task_received.connect(self._received.note, weak=False)
        watch = Watch(worker, self._received)
        threading.Thread(target=self._look, args=(watch,), name="watchdog", daemon=True).start()

    def stop(self, worker: Any) -> None:
        self._stop.set()

    def terminate(self, worker: Any) -> None:
        self.stop(worker)

    def _look(self, watch: Watch) -> None:
        while not self._stop.wait(LOOK):
            try:
                begun_anew.tell()
                waits = watch.look()
            except Exception as exc:  # who watches must not die of what it sees
                logger.warning("watchdog.blind", exc_info=exc)
                continue
            finally:
                connection.close()
            if waits:
                self._begin_anew(waits)

    def _begin_anew(self, waits: Waiting) -> None:
        logger.error(
            "watchdog.restarts", seconds=settings.WATCHDOG_SECONDS, ready=waits.ready, due=waits.due
        )
        begun_anew.leave_word(
            at=timezone.now(),
            seconds=settings.WATCHDOG_SECONDS,
            count=max(waits.ready, waits.due),
        )
        _count()
        until = time.monotonic() + FINISH
        while state.active_requests and time.monotonic() < until:
            if self._stop.wait(0.1):  # stopped by somebody, which will do
                return
        become_anew()


def become_anew() -> None:
    """
    Start this program again in its own place: same process id, same arguments.

    What it held it gives back by hanging up: a broker hands such messages out again, the
    database undoes what was not committed, and a lease runs out.
    """
    _end_children()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError, ValueError):
            if int(entry.name) > 2:  # noqa: PLR2004 (stderr)
                os.set_inheritable(int(entry.name), False)  # noqa: FBT003
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (ourselves)
    finally:
        os._exit(os.EX_OSERR)  # whoever supervises starts it


def _end_children() -> None:
    children: list[Any] = active_children()
    for child in children:
        child.terminate()
    until = time.monotonic() + CHILDREN
    for child in children:
        child.join(max(0.0, until - time.monotonic()))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)


def _due() -> int:
    """Return how many sessions nobody took although they were due for a while; 0: unknown."""
    sessions = apps.get_model("faceauth", "FaceSession").objects
    long_ago = timezone.now() - timedelta(seconds=settings.WATCHDOG_DUE)
    try:
        return int(sessions.due(long_ago).count())
    except (DatabaseError, InterfaceError):
        return 0


def _count() -> None:
    figures.add({RESTARTS: 1})
    figures.flush()  # what lies in memory ends with this process
