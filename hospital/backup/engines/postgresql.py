"""PostgreSQL: its own `pg_dump` and `pg_restore`, through pipes; passwords in their environment."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import psycopg
from django.conf import settings
from django.db import DatabaseError, connections, transaction
from psycopg import sql
from psycopg.pq import Conninfo

from hospital.backup.engines import urls
from hospital.backup.engines.ground import Loader, Trouble, void

# Bytes of a name; what is longer is cut off without a word, and is another database's name then.
_LONGEST: Final = 63
_ENDING: Final = 22  # bytes of `_before_…`, the longest that a restore adds to one
_TOLD: Final = 300  # characters of what a program said
_NUMBER: Final = re.compile(r"\(PostgreSQL\) (\d+)")


class PostgreSQLSnapshot:
    """Inside a transaction that sees one moment, which `pg_dump` is told of."""

    def __init__(self, ground: "PostgreSQL", ident: str) -> None:
        self._ground, self._ident = ground, ident
        [(self.version,)] = self.rows("SHOW server_version")

    def tables(self) -> list[str]:
        rows = self.rows(
            "SELECT tablename FROM pg_catalog.pg_tables WHERE schemaname = current_schema()"
        )
        return [name for (name,) in rows]

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with connections[self._ground.alias].cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    @contextmanager
    def dump(self) -> Iterator[IO[bytes]]:
        left_out = [f"--exclude-table-data={name}" for name in void()]
        command = [
            tool("pg_dump"),
            "--format=custom",
            "--no-password",
            f"--snapshot={self._ident}",
            *left_out,
        ]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(  # noqa: S603 (no shell, words of ours)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                env=self._ground.environment(self._ground.name),
            )
            assert process.stdout  # noqa: S101 (a pipe was asked for)
            try:
                yield process.stdout
            finally:
                process.stdout.close()
                code = process.wait()
            _demand(code, said, "pg_dump")


class PostgreSQL:
    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.name = str(settings.DATABASES[alias]["NAME"])

    @contextmanager
    def snapshot(self) -> Iterator[PostgreSQLSnapshot]:
        try:
            tables = self._tables()
            with transaction.atomic(using=self.alias, durable=True):
                with connections[self.alias].cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    # Before the moment is fixed: a table that a migration rewrites after that
                    # looks empty to who sees the moment before, and nobody would notice.
                    if tables:
                        cursor.execute(f"LOCK TABLE {tables} IN ACCESS SHARE MODE")
                    cursor.execute("SELECT pg_catalog.pg_export_snapshot()")
                    (ident,) = cursor.fetchone()
                yield PostgreSQLSnapshot(self, ident)
        except DatabaseError as exc:
            raise Trouble(f"数据库读不出来：{_first(str(exc))}") from None

    def _tables(self) -> str:
        """Return their names as a statement has them."""
        with connections[self.alias].cursor() as cursor:
            cursor.execute(
                "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_catalog.pg_tables"
                " WHERE schemaname = current_schema()"
            )
            return str(cursor.fetchone()[0] or "")

    def demand_tools(self) -> None:
        with self._maintenance() as server:
            theirs = server.info.server_version // 10_000
        for name in ("pg_dump", "pg_restore"):
            ours = _version(name)
            if ours < theirs:
                raise Trouble(
                    f"{name} 是 {ours} 版，服务器是 {theirs} 版：请安装不低于 {theirs} 版的客户端，"
                    "用 BACKUP_PG_BIN 指出其目录"
                )

    def demand_takes(self, version: str) -> None:
        if len(self.name.encode()) > _LONGEST - _ENDING:
            raise Trouble(
                f"数据库名 {self.name} 太长，恢复用的库名会被 PostgreSQL 截短：请改短到 "
                f"{_LONGEST - _ENDING} 个字节以内，并改 DATABASE_URL 或 KEYS_DATABASE_URL"
            )
        theirs = int(version.partition(".")[0])
        with self._maintenance() as server:
            ours = server.info.server_version // 10_000
        if ours < theirs:
            raise Trouble(
                f"备份来自 PostgreSQL {theirs}，服务器是 {ours} 版：请用 {theirs} 版或更新的服务器"
            )

    def is_there(self, name: str) -> bool:
        with self._maintenance() as server:
            found = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            return found.fetchone() is not None

    def is_empty(self, name: str) -> bool:
        if not self.is_there(name):
            return True
        with self._connected(name) as database:
            for table in ("accounts_staff", "patients_patient", "crypto_datakey"):
                found = database.execute("SELECT to_regclass(%s)", [table]).fetchone()
                if found and found[0] is None:
                    continue
                rows = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table))
                if database.execute(rows).fetchone():
                    return False
        return True

    def others(self, name: str) -> int:
        connections[self.alias].close()
        connections[self.alias].close_pool()  # type: ignore[attr-defined] # of PostgreSQL's
        with self._maintenance() as server:
            found = server.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = %s AND pid <> pg_backend_pid()"
                # A vacuum is in nobody's way; of others' sessions an ordinary account is not told.
                " AND coalesce(backend_type, 'client backend') = 'client backend'",
                [name],
            ).fetchone()
            return int(found[0]) if found else 0

    def make(self, name: str) -> None:
        self.drop(name)
        self._carry_out("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", name)

    def drop(self, name: str) -> None:
        self._carry_out("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def rename(self, name: str, to: str) -> None:
        self.others(name)
        self._carry_out("ALTER DATABASE {} RENAME TO {}", name, to)

    @contextmanager
    def loading(self, name: str) -> Iterator[Loader]:
        command = [
            tool("pg_restore"),
            "--no-password",
            "--exit-on-error",
            "--no-owner",
            "--no-privileges",
            f"--dbname={name}",
        ]
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(  # noqa: S603 (no shell, words of ours)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=said,
                env=self.environment(name),
            )
            assert process.stdin  # noqa: S101 (a pipe was asked for)
            is_whole = False
            try:
                yield process.stdin
                process.stdin.close()
                is_whole = True
            except BrokenPipeError:
                is_whole = True  # it has ended, and says why
            finally:
                if not is_whole:
                    process.kill()
                code = process.wait()
            _demand(code or int(not is_whole), said, "pg_restore")

    def url(self, name: str) -> str:
        return urls.renamed(self.alias, name)

    def environment(self, name: str) -> dict[str, str]:
        """Return it for a program of PostgreSQL's: nothing of this is on its command line."""
        variables = {one.keyword.decode(): one.envvar for one in Conninfo.get_defaults()}
        where = {
            variable.decode(): str(value)
            for keyword, value in self._params(name).items()
            if (variable := variables.get(keyword))
        }
        return {**os.environ, **where, "PGCLIENTENCODING": "UTF8"}

    def _carry_out(self, statement: str, *names: str) -> None:
        with self._maintenance() as server:
            try:
                server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
            except psycopg.errors.ObjectInUse:
                raise Trouble(f"还有程序连接着 {names[0]}，请先停止，再运行同一命令") from None
            except psycopg.errors.InsufficientPrivilege:
                raise Trouble(
                    "数据库账号不能建立、改名或删除数据库：请用有 CREATEDB 权限的所有者账号运行"
                ) from None

    @contextmanager
    def _maintenance(self) -> "Iterator[psycopg.Connection[Any]]":
        with self._connected("postgres") as server:
            yield server

    @contextmanager
    def _connected(self, name: str) -> "Iterator[psycopg.Connection[Any]]":
        try:
            with psycopg.connect(**self._params(name), autocommit=True) as server:
                yield server
        except psycopg.OperationalError as exc:
            raise Trouble(f"连接不上数据库服务器：{_first(str(exc))}") from None

    def _params(self, name: str) -> dict[str, Any]:
        """Return what libpq is told to connect to a database of this server."""
        params = connections[self.alias].get_connection_params()
        ours = {"context", "cursor_factory", "prepare_threshold"}
        return {key: value for key, value in params.items() if key not in ours} | {"dbname": name}


def tool(name: str) -> str:
    """:raises Trouble: it is not installed"""
    given = settings.BACKUP_PG_BIN
    path = shutil.which(name, path=str(Path(given))) if given else shutil.which(name)
    if path is None:
        where = f"{given} 里" if given else "PATH 里"
        raise Trouble(f"{where}没有 {name}：安装 PostgreSQL 客户端，或用 BACKUP_PG_BIN 指出其目录")
    return path


def _version(name: str) -> int:
    ended = subprocess.run(  # noqa: S603 (our word)
        [tool(name), "--version"], capture_output=True, text=True, check=False
    )
    found = _NUMBER.search(ended.stdout)
    if found is None:
        raise Trouble(f"{name} --version 没有说出版本")
    return int(found[1])


def _demand(code: int, said: IO[bytes], name: str) -> None:
    if code:
        said.seek(0)
        raise Trouble(f"{name} 失败（{code}）：{_first(said.read().decode(errors='replace'))}")


def _first(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0][:_TOLD] if lines else "没有说明"
