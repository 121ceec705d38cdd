"""
Clocks that count what the database does: beside `paired`, which knows this process alone.

Most of what a trail costs, PostgreSQL does.
"""

import time
from collections.abc import Callable
from functools import partial

from django.db import connection

from tests.benchmarks.servers import cpu_of


def cpu() -> Callable[[], float]:
    """Return a clock: the CPU seconds of this process, and of PostgreSQL's that works for it."""
    if connection.vendor != "postgresql":
        return time.process_time
    server = partial(cpu_of, _asked("SELECT pg_backend_pid()"))
    return lambda: time.process_time() + server()


def cpu_of_copy() -> Callable[[], float]:
    """Return a clock: the CPU seconds of PostgreSQL's process that copies to a connection."""
    return partial(
        cpu_of,
        _asked(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'COPY %'"
            " ORDER BY query_start DESC LIMIT 1"
        ),
    )


def _asked(question: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(question)
        [[found]] = cursor.fetchall()
    return int(found)
