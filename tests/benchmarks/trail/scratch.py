"""Each measurement in a process of its own, with Django on a database that is then dropped."""

import os
from pathlib import Path
from typing import Final

SETTINGS: Final = "tests.benchmarks.trail.shapes.settings"
SQLITE: Final = "sqlite://:memory:"


def set_up(url: str) -> None:
    """Have Django use that database, whatever the environment says, and make its tables."""
    os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": SETTINGS}
    import django  # noqa: PLC0415

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)  # the shapes: they refer to the others


def left(url: str) -> None:
    """Have Django leave that database, so that it can be dropped."""
    from django.db import connections  # noqa: PLC0415

    connections["default"].close()
    if not url.startswith("sqlite"):
        connections["default"].close_pool()  # type: ignore[attr-defined]


def peak() -> float:
    """
    Return the most memory this process ever had, in MiB.

    getrusage(2) says what its parent had, if that was more.
    """
    status = Path("/proc/self/status").read_text()
    [kibibytes] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(kibibytes) / 1024
