"""A ledger of erasures in either store, and somebody who writes into it as nobody of ours does."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import psycopg
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

from hospital.privacy.erasing.ledger_file import File
from hospital.privacy.erasing.ledger_table import Table
from hospital.privacy.erasing.routing import DATABASE
from hospital.settings import _database, env
from tests.house import postgresql

_FORGE = "INSERT INTO erasure_ledger (place, line) VALUES (%s, %s)"


@dataclass(frozen=True)
class Filed:
    store: File

    def lines(self) -> list[bytes]:
        return self.store.path.read_bytes().splitlines(keepends=True)

    def write(self, lines: Sequence[bytes]) -> None:
        self.store.path.write_bytes(b"".join(lines))


@dataclass(frozen=True)
class Tabled:
    """As its owner, who can take the trigger down."""

    store: Table

    def lines(self) -> list[bytes]:
        with connections[DATABASE].cursor() as cursor:
            cursor.execute("SELECT line FROM erasure_ledger ORDER BY place")
            return [line.encode("latin-1") + b"\n" for (line,) in cursor.fetchall()]

    def write(self, lines: Sequence[bytes]) -> None:
        """Put these there instead, one behind the other."""
        self.place(dict(enumerate(lines, start=1)))

    def place(self, lines: dict[int, bytes]) -> None:
        with connections[DATABASE].cursor() as cursor, _unguarded(cursor):
            cursor.execute("DELETE FROM erasure_ledger")
            for place, line in lines.items():
                cursor.execute(_FORGE, [place, line.removesuffix(b"\n").decode("latin-1")])


@contextmanager
def _unguarded(cursor: object) -> Iterator[None]:
    if connections[DATABASE].vendor != "postgresql":
        yield
        return
    cursor.execute("ALTER TABLE erasure_ledger DISABLE TRIGGER USER")  # type: ignore[attr-defined]
    yield
    cursor.execute(  # type: ignore[attr-defined]
        "ALTER TABLE erasure_ledger ENABLE ALWAYS TRIGGER erasure_ledger_kept"
    )


@contextmanager
def database(url: str, *, is_there: bool = True) -> Iterator[Tabled]:
    """Give this process a ledger on a database of its own, as LEDGER_DATABASE_URL would."""
    configured = _database(env.db_url_config(url), is_seldom_asked=True)
    filled = ConnectionHandler({"default": {}, DATABASE: configured}).settings[DATABASE]
    settings.DATABASES[DATABASE] = filled
    asked = BaseDatabaseWrapper.ensure_connection

    def ensure_connection(self: BaseDatabaseWrapper) -> None:
        """Django's tests let nobody ask a database that came later."""
        if self.alias != DATABASE:
            asked(self)
        elif self.connection is None:
            with self.wrap_database_errors:
                self.connect()

    BaseDatabaseWrapper.ensure_connection = ensure_connection  # type: ignore[method-assign]
    try:
        if is_there:
            with connections[DATABASE].schema_editor() as editor:
                import_module("hospital.privacy.migrations.0004_ledger").make(None, editor)
        yield Tabled(Table())
    finally:
        BaseDatabaseWrapper.ensure_connection = asked  # type: ignore[method-assign]
        connections[DATABASE].close()
        del connections[DATABASE]
        del settings.DATABASES[DATABASE]


def sqlite(directory: Path) -> str:
    return f"sqlite:///{directory}/ledger.sqlite3"


def on_server(url: str, statement: str) -> list[tuple[object, ...]]:
    """Carry out a statement on a PostgreSQL database, not by Django."""
    with psycopg.connect(url, autocommit=True) as server:
        cursor = server.execute(statement)
        return cursor.fetchall() if cursor.description else []


def server() -> str:
    return os.environ.get("DATABASE_URL", "")


@contextmanager
def on(engine: str, directory: Path) -> Iterator[Tabled]:
    """Do as `database`, on a new one of "sqlite" or "postgresql"."""
    if engine == "sqlite":
        with database(sqlite(directory)) as held:
            yield held
        return
    with postgresql(server()) as url, database(url) as held:
        yield held
