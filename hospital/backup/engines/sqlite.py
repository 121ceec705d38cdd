"""
SQLite, for a first look: through its own backup API, into memory, never into another file.

So the whole database has to fit into memory; with PostgreSQL nothing has to.
"""

import io
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from hospital import durable
from hospital.backup.engines.ground import Loader, Trouble, void


class SQLiteSnapshot:
    def __init__(self, memory: sqlite3.Connection) -> None:
        self._memory = memory
        self.version = sqlite3.sqlite_version

    def tables(self) -> list[str]:
        rows = self.rows(
            "SELECT name FROM sqlite_master"
            " WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        return [name for (name,) in rows]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._memory.execute(statement).fetchall()

    @contextmanager
    def dump(self) -> Iterator[IO[bytes]]:
        yield io.BytesIO(self._memory.serialize())


class SQLite:
    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.name = str(settings.DATABASES[alias]["NAME"])

    @contextmanager
    def snapshot(self) -> Iterator[SQLiteSnapshot]:
        try:
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
                with closing(_opened(self.name)) as file:
                    file.backup(memory)
                for table in void():
                    _empty(memory, table)
                memory.execute("VACUUM")  # no page keeps what was in them
                yield SQLiteSnapshot(memory)
        except sqlite3.Error as exc:
            raise Trouble(f"数据库读不出来：{exc}") from None

    def demand_tools(self) -> None:
        """SQLite needs none."""

    def demand_takes(self, version: str) -> None:
        """Its format has been the same since 2004."""

    def is_there(self, name: str) -> bool:
        path = Path(name)
        return path.exists() and path.stat().st_size > 0

    def is_empty(self, name: str) -> bool:
        if not self.is_there(name):
            return True
        with closing(_opened(name)) as file:
            for table in ("accounts_staff", "patients_patient", "crypto_datakey"):
                known = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
                if not file.execute(known, [table]).fetchone():
                    continue
                if file.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone():  # noqa: S608 (ours)
                    return False
        return True

    def others(self, name: str) -> int:
        """Return 0: of a file nobody can tell."""
        return 0

    def make(self, name: str) -> None:
        self.drop(name)
        os.close(os.open(name, os.O_CREAT | os.O_EXCL, 0o600))

    def drop(self, name: str) -> None:
        for ending in ("", "-wal", "-shm"):
            Path(f"{name}{ending}").unlink(missing_ok=True)

    def rename(self, name: str, to: str) -> None:
        with closing(sqlite3.connect(name, timeout=20)) as file:
            (is_busy, *_) = file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if is_busy:
                raise Trouble(f"还有程序使用着 {name}，请先停止，再运行同一命令")
        # What is in these is in the file by now; left behind, they would be taken for another's.
        for ending in ("-wal", "-shm"):
            Path(f"{name}{ending}").unlink(missing_ok=True)
            Path(f"{to}{ending}").unlink(missing_ok=True)
        Path(name).replace(to)
        durable.sync(Path(to).parent)

    @contextmanager
    def loading(self, name: str) -> Iterator[Loader]:
        with Path(name).open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            with closing(_opened(name)) as loaded:
                (said,) = loaded.execute("PRAGMA quick_check").fetchone()
        except sqlite3.Error:
            said = "不是 SQLite 数据库"
        if said != "ok":
            raise Trouble(f"恢复的数据库文件不完好：{said}")

    def url(self, name: str) -> str:
        return f"sqlite:///{name}"


def _opened(name: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{Path(name).absolute().as_uri()}?mode=rw", uri=True, timeout=20)


def _empty(memory: sqlite3.Connection, table: str) -> None:
    """Remove the rows, behind the guards: they are taken off for as long as that takes."""
    known = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
    triggers = memory.execute(known, [table]).fetchall()
    if not memory.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [table]).fetchone():
        return
    for name, _ in triggers:
        memory.execute(f'DROP TRIGGER "{name}"')
    memory.execute(f'DELETE FROM "{table}"')  # noqa: S608 (a name of ours)
    for _, statement in triggers:
        memory.execute(statement)
