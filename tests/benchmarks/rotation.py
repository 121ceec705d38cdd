"""
How many a second on one core: keys wrapped again, values sealed anew.

`python -m tests.benchmarks.rotation URL [PATIENTS]` measures on SQLite in memory, or on a server
of PostgreSQL on this machine, and prints the rates of its rounds. CPU time counts, that of the
server's process for us included: what else the machine does is not our pace.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.benchmarks.apart import asked

BATCH: Final = 5_000
PATIENTS: Final = 10_000
VALUES: Final = 2  # sealed, of each patient
ROUNDS: Final = 5
AT: Final = datetime(2026, 11, 21, tzinfo=UTC)
FAMILY: Final = "王李张刘陈杨黄赵吴周"
GIVEN: Final = "伟芳娜敏静丽强磊军洋"


@dataclass(frozen=True)
class Rates:
    """A second, round by round."""

    rewrapped: list[float]
    resealed: list[float]


def measure(url: str, *, patients: int = PATIENTS) -> Rates:
    """Measure in a process of its own, which has its own settings."""
    return Rates(**asked("rotation", url, patients))


def name_of(n: int) -> str:
    return FAMILY[n % 10] + GIVEN[n // 10 % 10] + GIVEN[n // 100 % 10]


def populate(rows: int, *, first: int = 0) -> None:
    """Put so many patients on record, fast: each with a key, two sealed values, two digests."""
    from django.db import transaction  # noqa: PLC0415 (Django is set up by whoever calls)

    from hospital.audit.actions import Action  # noqa: PLC0415
    from hospital.audit.recording import SYSTEM, record  # noqa: PLC0415
    from hospital.crypto import keyring  # noqa: PLC0415
    from hospital.patients.models import Patient  # noqa: PLC0415

    for start in range(first, first + rows, BATCH):
        some = [
            Patient(
                number=f"B{n:010d}",
                real_name=name_of(n),
                document_type=2,  # a passport: any number is one
                document_number=f"E{n:010d}",
                created_at=AT,
            )
            for n in range(start, min(start + BATCH, first + rows))
        ]
        keyring.provide(patient.pk for patient in some)
        with transaction.atomic():
            record(Action.DATABASE_REPAIR, by=SYSTEM, on=None, at=AT, reason="rows to measure")
            Patient.objects.bulk_create(some)


def _rates(patients: int) -> Rates:
    """Return what one core does on the connected database, which is left with new keys."""
    from hospital.crypto.models import DataKey  # noqa: PLC0415

    populate(patients)
    rates = Rates([], [])
    for _ in range(ROUNDS):
        keys = DataKey.objects.count()
        rates.rewrapped.append(keys / _seconds("kek", "rewrap"))
        rates.resealed.append(VALUES * patients / _seconds("data", "reseal"))
    return rates


def _seconds(kind: str, phase: str) -> float:
    """Rotate, and return how long the first pass of one phase took."""
    from hospital.audit.actions import Action  # noqa: PLC0415
    from hospital.crypto.models import Job  # noqa: PLC0415
    from hospital.crypto.rotation import errands, jobs  # noqa: PLC0415
    from hospital.crypto.rotation.jobs import Run  # noqa: PLC0415
    from hospital.management.commands import rotatekeys  # noqa: PLC0415

    errand = errands.new_kek() if kind == Job.Kind.KEK else errands.new_data_keys()
    began = ended = 0.0
    job = jobs.opened(errand.kind, errand.target)

    def told(run: Run, _waiting_for: str) -> None:
        nonlocal ended
        if run.job.phase == phase and run.job.done >= run.job.total and not ended:
            ended = _cpu()

    with Run(job, rate=0, batch=0, told=told) as run:
        enter = run.enter

        def entered(name: str) -> None:
            nonlocal began
            enter(name)
            if name == phase and not began:
                began = _cpu()

        run.enter = entered  # type: ignore[method-assign]
        rotatekeys._record(Action.KEYS_ROTATE_BEGIN, run.job)  # or no row may change
        jobs.work(run, errand.phases)
    return ended - began


def _cpu() -> float:
    """Return the CPU seconds this process, and PostgreSQL for it, have used so far."""
    from django.db import connection  # noqa: PLC0415

    ours = time.process_time()
    if connection.vendor != "postgresql":
        return ours
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return ours + (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def database(url: str) -> Iterator[None]:
    """Set Django up on an empty database of its own: in memory, or on this PostgreSQL."""
    from tests.house import postgresql  # noqa: PLC0415

    if url.startswith("sqlite"):
        _set_up(url)
        yield
        return
    with postgresql(url) as own:
        _set_up(own)
        yield
        from django.db import connections  # noqa: PLC0415

        connections["default"].close_pool()  # type: ignore[attr-defined]


def _set_up(url: str) -> None:
    os.environ |= {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "KEY_CACHE_SECONDS": "1",
    }
    import django  # noqa: PLC0415

    django.setup()
    from django.conf import settings  # noqa: PLC0415

    from tests import new_place  # noqa: PLC0415

    settings.IN_HAND_SECONDS = 0
    new_place.build()


if __name__ == "__main__":
    with database(sys.argv[1]):
        print(json.dumps(asdict(_rates(int(sys.argv[2])))))
