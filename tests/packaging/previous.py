"""
The previous release at work on a database that is being upgraded under it.

`python -m tests.packaging.previous`: reads, adds and changes with the columns that release knew,
over and over, one line for each round, until its standard input ends. With `--install` it makes
its tables in an empty database, and ends.
"""

import select
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import django
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

ROOT = Path(__file__).resolve().parents[2]
RELEASED = Path(__file__).with_name("released.txt")


def released() -> list[tuple[str, str]]:
    """Return the last migration of each app in the release before."""
    lines = RELEASED.read_text().splitlines()
    found = [line.split() for line in lines if line and not line.startswith("#")]
    return [(app, name) for app, name in found]


def unpack(into: Path) -> None:
    """
    Lay that release's files out: the commit that last wrote down what was released is it.

    :raises CalledProcessError: this is no clone, or not one with its history
    """
    commit = _git("log", "-1", "--format=%H", "--", str(RELEASED)).decode().strip()
    archive = _git("archive", commit)
    subprocess.run(["tar", "x", "-C", str(into)], input=archive, check=True)


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def models() -> Any:
    """Return the models as that release had them."""
    return MigrationLoader(connection).project_state(released()).apps


def work(apps: Any) -> None:
    of_ours = {app for app, _ in released()}
    with transaction.atomic(), connection.cursor() as cursor:
        # The guards ask for events, which are another test's; here it is about columns.
        cursor.execute("SET LOCAL session_replication_role = replica")
        for model in apps.get_models():
            if model._meta.app_label in of_ours:
                list(model.objects.order_by("pk")[:3])
        code = uuid4().hex[:12]
        store = apps.get_model("devices", "Store").objects.create(code=code, name="门诊楼")
        terminal = apps.get_model("devices", "Terminal").objects.create(
            serial=code, name="大厅", store=store
        )
        apps.get_model("devices", "Terminal").objects.filter(pk=terminal.pk).update(name="大厅东")


def main() -> None:
    django.setup()
    if "--install" in sys.argv:
        MigrationExecutor(connection).migrate(released())
        return
    apps = models()
    rounds = 0
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        work(apps)
        rounds += 1
        print(rounds, flush=True)


if __name__ == "__main__":
    main()
