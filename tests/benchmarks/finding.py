"""
Finding a patient by document number, beside a plain indexed column, and beside the primary key.

On PostgreSQL, among as many patients as a hospital group has, and on SQLite. Of them a thousand
are real, the others are rows of random bytes with digests of their own: to an index they are all
the same.

`python -m tests.benchmarks.finding PATIENTS` fills the database of its environment and prints
the seconds of its rounds.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from hospital.demo.installation import Installation
from tests.benchmarks.apart import asked
from tests.benchmarks.paired import Rounds
from tests.house import postgresql

PATIENTS = {"quick": 100_000, "full": 1_000_000}
REAL = 1_000
ROUNDS = 15
FINDINGS = 200  # by each side, in a round

Find = Callable[[str, str, UUID], object]  # document number, its digest, key → a row

_FILL = """
    INSERT INTO patients_patient
      (id, number, real_name, document_type, document_number, document_index, created_at)
    SELECT gen_random_uuid(), 'Q' || n, sha256(n::text::bytea), 1,
           sha256(n::text::bytea) || sha256(n::text::bytea), md5(n::text), now()
    FROM generate_series(1, %s) n
"""
_FILL_SQLITE = """
    WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < %s)
    INSERT INTO patients_patient
      (id, number, real_name, document_type, document_number, document_index, created_at)
    SELECT lower(hex(randomblob(16))), 'Q' || n, randomblob(32), 1, randomblob(64),
           lower(hex(randomblob(16))), datetime('now')
    FROM more
"""
_PLAIN = (
    "CREATE TABLE plain AS SELECT *, document_index AS document FROM patients_patient",
    "CREATE UNIQUE INDEX plain_id ON plain (id)",
    "CREATE UNIQUE INDEX plain_document ON plain (document)",
    "CREATE UNIQUE INDEX plain_number ON plain (number)",
    "ANALYZE",
)


def measure(server: str, var: Path, *, patients: int) -> Rounds:
    """Return the seconds on the clock of each: by document, the plain column, the key."""
    with postgresql(server) as url:
        environment = {**Installation(var, 0, 0).prepare(), "DATABASE_URL": url}
        return Rounds(asked("finding", patients, env=environment))


def measure_on_sqlite(var: Path, *, patients: int) -> Rounds:
    """Return the same, where the database is a file."""
    environment = Installation(var, 0, 0).prepare()
    return Rounds(asked("finding", patients, env=environment))


def _main(patients: int) -> None:
    import django  # noqa: PLC0415 (only this process has the environment for it)

    django.setup()
    from django.conf import settings  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connection, models  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from hospital.audit import guards  # noqa: PLC0415
    from hospital.crypto.providers.file import FileProvider  # noqa: PLC0415
    from hospital.patients.models import Patient  # noqa: PLC0415

    class Plain(models.Model):
        id = models.UUIDField(primary_key=True)
        number = models.CharField(max_length=16)
        real_name = models.BinaryField()
        document_type = models.PositiveSmallIntegerField()
        document_number = models.BinaryField()
        document = models.TextField(unique=True)
        created_at = models.DateTimeField()

        class Meta:
            app_label = "patients"
            managed = False
            db_table = "plain"

    call_command("migrate", verbosity=0)
    guards.remove(connection)  # rows to measure: nobody's visit is recorded
    FileProvider.create(settings.KEY_FILE)
    numbers = [f"11010119800101{one:03}X" for one in range(REAL)]
    real = [
        Patient(
            number=f"P{place}",
            real_name="张三",
            document_type=1,
            document_number=number,
            created_at=timezone.now(),
        )
        for place, number in enumerate(numbers)
    ]
    Patient.objects.bulk_create(real)
    more = patients - REAL
    with connection.cursor() as cursor:
        cursor.execute(_FILL if connection.vendor == "postgresql" else _FILL_SQLITE, [more])
        for statement in _PLAIN:
            cursor.execute(statement)
    there = {
        number: (document, key)
        for number, document, key in Patient.objects.filter(
            number__in=[f"P{place}" for place in range(REAL)]
        ).values_list("number", "document_index", "pk")
    }
    wanted = [(numbers[place], *there[f"P{place}"]) for place in range(REAL)]
    sides: dict[str, Find] = {
        "document": lambda number, _document, _key: Patient.objects.with_document(1, number).get(),
        "plain": lambda _number, document, _key: Plain.objects.filter(document=document).get(),
        "key": lambda _number, _document, key: Patient.objects.get(pk=key),
    }
    print(json.dumps(_taken(sides, wanted)))


def _taken(sides: dict[str, Find], wanted: list[tuple[str, str, UUID]]) -> dict[str, list[float]]:
    """Return the seconds of each side, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):
        took = dict.fromkeys(sides, 0.0)
        turns = [(name, one) for one in random.sample(wanted, FINDINGS) for name in sides]
        random.shuffle(turns)
        for name, one in turns:
            began = time.perf_counter()
            sides[name](*one)
            took[name] += time.perf_counter() - began
        for name, total in took.items():
            seconds[name].append(total)
    return {name: took[1:] for name, took in seconds.items()}  # the first warmed everything up


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hospital.settings")
    _main(int(sys.argv[1]))
