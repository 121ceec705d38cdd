"""
Rounds in which all sides take their turns, in shuffled order, on a clock of their own.

Beside `paired`, which counts the CPU time of this process alone: most of what a trail costs, the
database does.
"""

import gc
import random
import time
from collections.abc import Callable, Mapping

from django.db import connection

from tests.benchmarks.paired import LEAST, Rounds
from tests.benchmarks.servers import CPUCLOCK_SCHED

Turn = Callable[[], float]  # works for a while; returns seconds per call


def taken(sides: Mapping[str, Turn], *, rounds: int, slices: int) -> Rounds:
    """Let all warm up, then let each take so many turns in every round."""
    for turn in sides.values():
        turn()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    gc.disable()
    try:
        for _ in range(max(rounds, LEAST)):
            took = dict.fromkeys(sides, 0.0)
            for name in random.sample(list(sides) * slices, len(sides) * slices):
                took[name] += sides[name]()
            for name, total in took.items():
                seconds[name].append(total / slices)
            gc.collect()
    finally:
        gc.enable()
    return Rounds(seconds)


def cpu() -> Callable[[], float]:
    """Return a clock: the CPU seconds of this process, and of PostgreSQL's that works for it."""
    if connection.vendor != "postgresql":
        return time.process_time
    server = cpu_of(_asked("SELECT pg_backend_pid()"))
    return lambda: time.process_time() + server()


def cpu_of_copy() -> Callable[[], float]:
    """Return a clock: the CPU seconds of PostgreSQL's process that copies to a connection."""
    return cpu_of(
        _asked(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'COPY %'"
            " ORDER BY query_start DESC LIMIT 1"
        )
    )


def cpu_of(pid: int) -> Callable[[], float]:
    """Return a clock: the CPU seconds of a process, to the nanosecond (clock_getcpuclockid(3))."""
    return lambda: time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def _asked(question: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(question)
        [[found]] = cursor.fetchall()
    return int(found)
