"""
One job: who is at it, how far it is, and how it is taken up again.

A job goes through phases, and within a phase behind a cursor. Both are in its row, and only
whoever holds the lease writes there: a process that was believed dead and wakes up finds the
lease gone, and its last batch rolls back. All that is done behind a cursor may be done twice.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

from django.db import connections, router, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from hospital.crypto.models import Job

LEASE: Final = timedelta(seconds=30)  # renewed with each batch, and while waiting
LISTED: Final = 1_000  # findings kept with a job; all are counted
_NAP: Final = 0.2  # seconds
_KEPT: Final = 2.0  # seconds after which a lease that nobody used is renewed


class Busy(Exception):
    """Another process is at this job, or has just ended it."""


class LeaseLost(Exception):
    """Another process took the job over, because this one was silent for too long."""


@dataclass(frozen=True)
class Finding:
    """Where something is not as it should be; never what is there."""

    model: str
    pk: str
    field: str
    error: str  # the class of the exception


@dataclass
class Step:
    """What one batch has done, said by whoever does it."""

    cursor: str = ""
    done: int = 0  # rows gone through
    changed: int = 0
    conflicts: int = 0  # rows that changed meanwhile and are looked at again
    findings: list[Finding] = field(default_factory=list)


class Run:
    """
    A job in the hands of this process, from `take` until the block ends.

    :param told: called after every batch and while waiting, with a word for what is waited for
    """

    def __init__(
        self, job: Job, *, rate: int, batch: int, told: Callable[["Run", str], None]
    ) -> None:
        self.job = job
        self.rate = rate
        self.changed = 0  # by this process, conflicts included
        self.rows = 0  # gone through by this process
        self._batch = batch
        self._told = told
        self._owner = f"{socket.gethostname()[:24]}:{os.getpid()}:{uuid4().hex[:16]}"
        self._began = self._kept = time.monotonic()

    @property
    def alias(self) -> str:
        return job_database()

    def __enter__(self) -> Self:
        """:raises Busy: another process is alive and at it"""
        seen: datetime | None = None
        while not self._lease():
            self.job.refresh_from_db()
            until = self.job.lease_until
            if until is None or (seen is not None and until != seen):
                raise Busy
            # Nobody can tell a dead owner from a busy one before its lease is over.
            seen = until
            self._told(self, "等待上一个进程的租约到期")
            time.sleep(max(0.0, (until - timezone.now()).total_seconds()) + _NAP)
        self.job.refresh_from_db()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._mine().update(lease_until=None)

    def batch_size(self, most: int) -> int:
        """Return how many rows to take at once: about a second of them, if the rate is limited."""
        size = min(self._batch or most, most)
        return max(1, min(size, self.rate)) if self.rate else size

    def enter(self, phase: str) -> None:
        """Begin a phase, from its start."""
        self._write(phase=phase, cursor="", done=0, total=0, phase_began_at=timezone.now())

    def mark(self, cursor: str, *, total: int, done: int = 0) -> None:
        """Say where in the phase this is, and how much there is to do."""
        self._write(cursor=cursor, total=total, done=done)

    def start_pass(self, total: int) -> None:
        """Begin at the first row again; what was found is found again, if it is still so."""
        self._write(cursor="", done=0, total=total, failed=0, findings=[])

    @contextmanager
    def batch(self, using: str) -> Iterator[Step]:
        """
        Keep rows and cursor together: in one transaction where they are on one database.

        Elsewhere the rows go first: a cursor may lag behind, and never run ahead.

        :raises LeaseLost: the rows are rolled back with it
        """
        step = Step()
        if using == self.alias:
            with transaction.atomic(using=using):
                self._say_who(using)
                yield step
                self._save(step)
        else:
            with transaction.atomic(using=using):
                self._say_who(using)
                yield step
            self._save(step)
        self.changed += step.changed + step.conflicts
        self.rows += step.done
        self._told(self, "")
        self._keep_pace()

    def renew(self, waiting_for: str) -> None:
        """
        Stay alive while there is nothing to do.

        :raises LeaseLost:
        """
        if time.monotonic() - self._kept >= _KEPT:
            self._write()
        self._told(self, waiting_for)
        time.sleep(_NAP)

    def rest_until(self, moment: datetime, waiting_for: str) -> None:
        while timezone.now() < moment:
            self.renew(waiting_for)

    def finish(self) -> None:
        """End the job: done if nothing failed."""
        state = Job.State.FAILED if self.job.failed else Job.State.DONE
        self._write(state=state, phase="", cursor="", finished_at=timezone.now())

    def _say_who(self, using: str) -> None:
        """Tell PostgreSQL whose work it is: a change of keys, on record with the job's begin."""
        connection = connections[using]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('hospital.job', %s, true)", [str(self.job.pk)])

    def _lease(self) -> bool:
        now = timezone.now()
        free = _jobs().filter(pk=self.job.pk, state=Job.State.OPEN)
        free = free.filter(Q(lease_until=None) | Q(lease_until__lt=now))
        return bool(free.update(lease_owner=self._owner, lease_until=now + LEASE, rate=self.rate))

    def _mine(self) -> QuerySet[Job]:
        return _jobs().filter(pk=self.job.pk, lease_owner=self._owner)

    def _save(self, step: Step) -> None:
        room = LISTED - len(self.job.findings)
        self._write(
            cursor=step.cursor,
            done=self.job.done + step.done,
            conflicts=self.job.conflicts + step.conflicts,
            failed=self.job.failed + len(step.findings),
            findings=self.job.findings + [asdict(one) for one in step.findings[:room]],
        )

    def _write(self, **fields: Any) -> None:
        """:raises LeaseLost:"""
        mine = self._mine().filter(state=Job.State.OPEN)
        if not mine.update(lease_until=timezone.now() + LEASE, **fields):
            raise LeaseLost
        self._kept = time.monotonic()
        for name, value in fields.items():
            setattr(self.job, name, value)

    def _keep_pace(self) -> None:
        if self.rate:
            due = self._began + self.rows / self.rate
            time.sleep(max(0.0, due - time.monotonic()))


@dataclass(frozen=True)
class Phase:
    """One stretch of a job. `act` returns the name of the next; "" when all is done."""

    label: str
    act: Callable[[Run], str]


def job_database() -> str:
    return router.db_for_write(Job)


def opened(kind: str, target: str) -> Job:
    """Return the open job of this kind and target, made if there is none."""
    job, _made = _jobs().get_or_create(kind=kind, target=target, state=Job.State.OPEN)
    return job


def unfinished(kind: str, **of: str) -> Job | None:
    """Return the oldest open job of this kind."""
    return _jobs().filter(kind=kind, state=Job.State.OPEN, **of).order_by("pk").first()


def work(run: Run, phases: Mapping[str, Phase]) -> None:
    """
    Go through the phases from where the job is, to its end.

    :raises LeaseLost:
    """
    if run.job.phase not in phases:
        run.enter(next(iter(phases)))
    while following := phases[run.job.phase].act(run):
        run.enter(following)
    run.finish()


def sweep_until_clean(run: Run, *, total: Callable[[], int], sweep: Callable[[], None]) -> None:
    """
    Repeat `sweep` until one that began at the first row changed nothing and met no conflict.

    One that was taken up half-way proves nothing of the rows before it.
    """
    is_whole = not run.job.cursor
    while True:
        if is_whole:
            run.start_pass(total())
        before = run.changed
        sweep()
        if is_whole and run.changed == before:
            return
        is_whole = True
        run.renew("等待被占用的行")  # a row that somebody holds is held for a while


def _jobs() -> QuerySet[Job]:
    return Job.objects.using(job_database())
