"""
Waiting until nobody can still write by the keys of before.

A process goes on sealing with the key it remembers for `KEY_CACHE_SECONDS`, and what it has read
it may save as it was for `IN_HAND_SECONDS`. Then none begins to do so. But a
transaction that began earlier may still be open, and commit what it sealed long ago: unseen by
any pass, until its key is gone. So we wait for every transaction that is open at that moment,
as CREATE INDEX CONCURRENTLY does.

PostgreSQL says which they are. Those with a transaction id are below the snapshot's xmax, also
prepared ones; those that have not written yet hold a virtual id only, which is in pg_locks.
A transaction on SQLite takes the one write lock when it begins: whoever gets it is alone.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from hospital.crypto.rotation.jobs import Run

_XMAX: Final = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text"
_IS_PAST: Final = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= %s::xid8"
# Not the server's own workers: a vacuum writes no rows, and may take hours.
_OPEN: Final = """
    SELECT lock.virtualxid FROM pg_locks lock JOIN pg_stat_activity USING (pid)
    WHERE lock.locktype = 'virtualxid' AND lock.granted AND pid <> pg_backend_pid()
    AND datname = current_database()
    AND coalesce(backend_type, 'client backend') = 'client backend'
"""


def settle(run: Run, aliases: Iterable[str]) -> None:
    """Wait, since this phase began, until all write by what was true then."""
    began = run.job.phase_began_at or timezone.now()
    longest = settings.KEY_CACHE_SECONDS + settings.IN_HAND_SECONDS
    run.rest_until(began + timedelta(seconds=longest), "等待各进程的密钥缓存到期")
    for alias in sorted({*aliases}):
        wait(alias, tick=lambda: run.renew("等待未结束的事务"))


def wait(alias: str, *, tick: Callable[[], None]) -> None:
    """
    Return when every transaction that is open now has ended; call `tick` while waiting.

    :raises RuntimeError: inside a transaction, which would wait for itself
    """
    connection = connections[alias]
    if connection.vendor != "postgresql":
        with transaction.atomic(using=alias):  # IMMEDIATE, by the settings
            return
    if connection.in_atomic_block:
        raise RuntimeError("whoever waits for transactions must not be in one")
    [[xmax]] = _rows(connection, _XMAX)
    left = {name for (name,) in _rows(connection, _OPEN)}
    while left or not _rows(connection, _IS_PAST, xmax)[0][0]:
        tick()
        left &= {name for (name,) in _rows(connection, _OPEN)}


def _rows(connection: BaseDatabaseWrapper, sql: str, *params: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params or None)
        return [*cursor.fetchall()]
