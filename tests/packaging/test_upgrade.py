"""The runbook's upgrade and its way back, from the previous release, which works on meanwhile."""

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from tests.packaging.previous import released

pytestmark = pytest.mark.postgresql

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server() -> str:
    return os.environ["DATABASE_URL"]


@pytest.fixture
def database(server: str) -> Iterator[str]:
    """A database of its own, empty."""
    name = f"upgrade_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as there:
        there.execute(f"CREATE DATABASE {name}")
    yield psycopg.conninfo.make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as there:
        there.execute(f"DROP DATABASE {name} WITH (FORCE)")


def environment(database: str) -> dict[str, str]:
    parts = psycopg.conninfo.conninfo_to_dict(database)
    user = parts["user"] + (f":{parts['password']}" if parts.get("password") else "")
    port = parts.get("port", "5432")
    host = parts.get("host", "127.0.0.1")
    where = f"?host={host}" if host.startswith("/") else ""
    place = "" if where else f"{host}:{port}"
    url = f"postgres://{user}@{place}/{parts['dbname']}{where}"
    return {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE}


@pytest.fixture
def manage(database: str) -> Run:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=environment(database),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done

    return run


@pytest.fixture
def previous(database: str) -> Iterator["subprocess.Popen[str]"]:
    """Its tables with its rows, and its code at work on them."""
    command = [sys.executable, "-m", "tests.packaging.previous"]
    subprocess.run([*command, "--install"], cwd=ROOT, env=environment(database), check=True)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(database),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == "1", process.communicate()[1][-3000:]
    yield process
    process.kill()
    process.communicate()


def changed() -> list[tuple[str, str]]:
    """Return those whose tables this release changes, the last one first."""
    graph = MigrationLoader(None).graph
    return [one for one in reversed(released()) if one not in graph.leaf_nodes(one[0])]


def ended(process: "subprocess.Popen[str]") -> int:
    """Let it end; return how many rounds it made without an error."""
    out, err = process.communicate("")
    assert process.returncode == 0, err[-3000:]
    return 1 + len(out.splitlines())  # the first was read before


def columns(database: str) -> dict[tuple[str, str], bool]:
    """Return every column, and whether a row may be added without naming it."""
    with psycopg.connect(database) as there:
        rows = there.execute(
            "SELECT table_name, column_name, is_nullable = 'YES' OR column_default IS NOT NULL"
            " OR is_generated = 'ALWAYS' OR is_identity = 'YES'"
            " FROM information_schema.columns WHERE table_schema = 'public'"
        )
        return {(table, column): is_optional for table, column, is_optional in rows}


def counted(database: str) -> dict[str, int]:
    counting = (
        "SELECT 'devices_store', count(*) FROM devices_store"
        " UNION ALL SELECT 'devices_terminal', count(*) FROM devices_terminal"
    )
    with psycopg.connect(database) as there:
        return dict(there.execute(counting).fetchall())


def test_the_previous_release_works_on_while_its_database_is_upgraded(database, manage, previous):
    before = columns(database)

    manage("migrate", "--no-input", "-v0")

    assert ended(previous) > 0
    after = columns(database)
    tables = {table for table, _ in before}
    assert set(before) <= set(after), "a column that release reads is gone"
    needed = {one for one in set(after) - set(before) if one[0] in tables and not after[one]}
    assert needed == set(), "that release cannot add a row any more"


def test_the_way_back_loses_no_row_of_its_tables(database, manage, previous):
    before = columns(database)
    manage("migrate", "--no-input", "-v0")
    for app, name in changed():
        manage("migrate", app, name, "--no-input", "-v0")

    rounds = ended(previous)

    assert counted(database) == {"devices_store": rounds, "devices_terminal": rounds}
    assert {one for one in columns(database) if one[0] in {table for table, _ in before}} == set(
        before
    )


def test_what_was_released_is_not_rewritten():
    """Migrations of a release are there under their names: an upgrade starts from them."""
    known = MigrationLoader(None).disk_migrations

    assert [one for one in released() if one not in known] == []
