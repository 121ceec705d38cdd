"""Who waits for whom in PostgreSQL: for tests of what happens at the same moment."""

import time
from collections.abc import Callable

from django.db import connection

PATIENCE = 60.0  # seconds until somebody who should wait is given up


def is_waited_for() -> bool:
    """Whether another session waits for what this one's transaction holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
        return cursor.fetchone() is not None


def until_waited_for(is_over: Callable[[], bool] = lambda: False) -> None:
    """
    Return when another session waits for this one's transaction.

    :param is_over: whether it ended instead, and nobody will
    """
    give_up = time.monotonic() + PATIENCE
    while not is_waited_for():
        assert not is_over(), "nobody waited"
        assert time.monotonic() < give_up, "nobody came"
        time.sleep(0.01)  # the server tells nobody that somebody waits: it has to be asked
