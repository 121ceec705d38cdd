"""All guards of a database, put up and taken down."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from hospital.audit.guards import append_only, completeness
from hospital.audit.guards.triggers import Guards, put_up, schema_of, take_down

PATIENCE: Final = 2_000  # ms for a table's lock: behind us everybody waits who wants the table
TRIES: Final = 5
LOCK_NOT_AVAILABLE: Final = "55P03"  # PostgreSQL, Appendix A
REST: Final = 1.0  # seconds for the others, between two tries


class TableInUse(Exception):
    """A table was in use for too long; what was put up until then stays, the rest is missing."""


def install(connection: BaseDatabaseWrapper) -> None:
    """
    Put up what is missing or not as it should be, on the tables that are there.

    One table after the other, so that no writer waits for more than one of them.

    :raises TableInUse: try again later; what is missing is told until then (`drift`)
    """
    all_ = wanted(connection)
    _patiently(connection, "函数", Guards([], [], all_.functions))
    for table in dict.fromkeys(all_.tables):
        mine = [one for one in all_.triggers if one.table == table]
        _patiently(connection, table, Guards([table], mine, []))


def _patiently(connection: BaseDatabaseWrapper, what: str, guards: Guards) -> None:
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic(using=connection.alias), _impatient(connection):
                put_up(connection, guards)
        except OperationalError as exc:
            if connection.vendor != "postgresql" or _state(exc) != LOCK_NOT_AVAILABLE:
                raise
            if not left:
                raise TableInUse(
                    f"{what} 一直被占用，未能装上触发器，请稍后重新执行 migrate"
                ) from exc
            time.sleep(REST)
        else:
            return


@contextmanager
def _impatient(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Give up a lock that is not to be had; afterwards, in the same transaction, as before."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        (before,) = cursor.fetchone()
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{PATIENCE}ms"])
        yield
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [before])


def _state(exc: Exception) -> str:
    return str(getattr(exc.__cause__, "sqlstate", ""))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take them down; for tests, which empty the tables, and for undoing the migration."""
    with transaction.atomic(using=connection.alias):
        take_down(connection, wanted(connection))


def wanted(connection: BaseDatabaseWrapper) -> Guards:
    """Return all that belongs on the tables that are there."""
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
        schema = ""
        if connection.vendor == "postgresql":
            schema = schema_of(cursor)
            cursor.execute(
                "SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema()"
                " AND table_name = 'audit_event' AND column_name = 'txid'"
            )
            there |= {"audit_event.txid"} if cursor.fetchone() else set()
    lines = append_only.guards(connection.vendor, schema, there)
    changes = completeness.guards(connection.vendor, schema, there)
    return Guards(
        [*lines.tables, *changes.tables],
        [*lines.triggers, *changes.triggers],
        [*lines.functions, *changes.functions],
    )
