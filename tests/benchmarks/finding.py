"""
Finding a patient by document number, beside a plain indexed column of the same table.

On PostgreSQL, among as many patients as a hospital group has. Of them a thousand are real, the
others are rows of random bytes with digests of their own: to an index they are all the same.

`python -m tests.benchmarks.finding PATIENTS` fills the database of its environment and prints
the ratios of its rounds.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hospital.demo.installation import ROOT, Installation
from tests.benchmarks.paired import Quartiles
from tests.house import postgresql

PATIENTS = {"quick": 100_000, "full": 1_000_000}
REAL = 1_000
ROUNDS = 15
FINDINGS = 200  # by each side, in a round

_FILL = """
    INSERT INTO patients_patient
      (id, number, real_name, document_type, document_number, document_index, created_at)
    SELECT gen_random_uuid(), 'Q' || n, sha256(n::text::bytea), 1,
           sha256(n::text::bytea) || sha256(n::text::bytea), md5(n::text), now()
    FROM generate_series(1, %s) n
"""
_PLAIN = """
    CREATE TABLE plain AS SELECT *, document_index AS document FROM patients_patient;
    ALTER TABLE plain ADD PRIMARY KEY (id);
    CREATE UNIQUE INDEX ON plain (document);
    CREATE UNIQUE INDEX ON plain (number);
    ANALYZE;
"""


def measure(server: str, var: Path, *, patients: int) -> Quartiles:
    """Return how many times the wall time of the plain lookup ours takes."""
    with postgresql(server) as url:
        environment = {**Installation(var, 0, 0).prepare(), "DATABASE_URL": url}
        ended = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.finding", str(patients)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return Quartiles.of(json.loads(ended.stdout))


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
    with connection.cursor() as cursor:
        cursor.execute(_FILL, [patients - REAL])
        cursor.execute(_PLAIN)
    documents = dict(Patient.objects.values_list("number", "document_index"))
    wanted = [(numbers[place], documents[f"P{place}"]) for place in range(REAL)]

    def sealed(number: str, _document: str) -> object:
        return Patient.objects.with_document(1, number).get()

    def plain(_number: str, document: str) -> object:
        return Plain.objects.filter(document=document).get()

    print(json.dumps(_ratios(sealed, plain, wanted)))


def _ratios(
    sealed: Callable[[str, str], object],
    plain: Callable[[str, str], object],
    wanted: list[tuple[str, str]],
) -> list[float]:
    ratios = []
    for _ in range(ROUNDS + 1):
        took = {sealed: 0.0, plain: 0.0}
        chosen = random.sample(wanted, FINDINGS)
        turns = [(find, one) for one in chosen for find in took]
        random.shuffle(turns)
        for find, one in turns:
            began = time.perf_counter()
            find(*one)
            took[find] += time.perf_counter() - began
        ratios.append(took[sealed] / took[plain])
    return ratios[1:]  # the first warmed everything up


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hospital.settings")
    _main(int(sys.argv[1]))
