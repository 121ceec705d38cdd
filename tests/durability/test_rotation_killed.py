"""
Every key is changed, and the process that does it killed, while others write: nobody is lost.

The processes are real: this file is also their program (`main`). A writer keeps a journal of
what it was told is on disk; at the end a stranger to all of them compares.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.db import connection, connections, transaction
from uuid6 import uuid7

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto import epochs, keyring
from hospital.crypto.data_keys import new_key
from hospital.crypto.models import DataKey, IndexKey, KeyEpoch
from hospital.crypto.providers.file import FileProvider
from hospital.crypto.rotation import errands, in_flight, jobs
from hospital.crypto.sealing import generation_of
from hospital.patients.enrolment import Person, enrol
from hospital.patients.models import Patient, WechatAccount
from tests.benchmarks.rotation import name_of, populate
from tests.house import postgresql, until

pytestmark = pytest.mark.postgresql

ROOT = Path(__file__).resolve().parents[2]
PATIENTS = int(os.environ.get("ROTATED_PATIENTS", "20000"))  # on record before it begins
KEYS = 100_000  # for a new key-encryption key, which touches nothing else
WRITERS = 2
PAUSE = 0.02  # seconds between two turns of a writer: there are not many cores
RATE = 12_000  # rows a second, so that there is a moment to be killed in
PATIENCE = 600.0  # seconds until a process that should end is given up
LABEL = "patient.document"
AT = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass
class Ward:
    """A database of its own, the processes at work on it, and what they noted down."""

    url: str
    var: Path

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        program = f"import django; django.setup(); from {__name__} import main; main(*{args!r})"
        with (self.var / f"{'-'.join(args)}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", program],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def run(self, *args: str) -> None:
        process = self.start(*args)
        assert process.wait(timeout=PATIENCE) == 0, self.log(*args)

    def log(self, *args: str) -> str:
        return (self.var / f"{'-'.join(args)}.log").read_text()[-4000:]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": self.url,
            "DATABASE_POOL": "4",
            "KEY_FILE": str(self.var / "root.key"),
            "KEY_CACHE_SECONDS": "1",
            "WARD": str(self.var),
            "LOG_LEVEL": "ERROR",
        }

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as server:
            cursor = server.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def at(self, phase: str, *, done: int = 0) -> bool:
        """Whether a job is in this phase, and so far."""
        where = f"state = 'open' AND phase = '{phase}' AND done >= {done}"
        return bool(self.sql(f"SELECT 1 FROM crypto_job WHERE {where}"))  # noqa: S608

    def let_lease_run_out(self) -> None:
        """What half a minute would do."""
        self.sql("UPDATE crypto_job SET lease_until = '2020-01-01' WHERE state = 'open'")

    def rotate(self, *args: str, killed_in: list[tuple[str, int]]) -> None:
        """Rotate; `kill -9` it in each of these phases, after so many rows, and start again."""
        for phase, done in killed_in:
            process = self.start("rotate", *args)
            until(
                lambda: self.at(phase, done=done) or process.poll() is not None,  # noqa: B023
                f"{phase} is reached",
                seconds=PATIENCE,
            )
            assert process.poll() is None, self.log("rotate", *args)
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.let_lease_run_out()
        self.run("rotate", *args)

    @contextmanager
    def writers(self) -> Iterator[None]:
        running = {name: self.start("write", name) for name in map(str, range(WRITERS))}
        try:
            until(
                lambda: all(self.journal(name) for name in running),
                "everybody writes",
                seconds=PATIENCE,
            )
            yield
            for name, process in running.items():
                assert process.poll() is None, self.log("write", name)
        finally:
            (self.var / "stop").touch()
            for process in running.values():
                process.wait(timeout=PATIENCE)

    def journal(self, name: str) -> list[str]:
        path = self.var / f"journal-{name}"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    with postgresql(os.environ.get("DATABASE_URL", "")) as url:
        ward = Ward(url, tmp_path)
        ward.run("build")
        yield ward


def test_a_rotation_killed_again_and_again_loses_nobody(ward, capsys):
    began = time.monotonic()
    with ward.writers():
        ward.rotate(
            "--data",
            "--rate",
            str(RATE),
            killed_in=[("keys", 5_000), ("reseal", 9_000), ("prove", 2_000)],
        )
        ward.rotate(
            "--index", LABEL, "--rate", str(RATE), killed_in=[("fill", 9_000), ("clear", 3_000)]
        )
        ward.run("more_keys")
        ward.rotate("--kek", killed_in=[("rewrap", 20_000)])

    ward.run("compare")
    written = sum(len(ward.journal(str(n))) for n in range(WRITERS))
    with capsys.disabled():
        print(
            f"\n{PATIENTS} patients, {KEYS} keys, 6 x kill -9, {written} writes meanwhile:"
            f" {time.monotonic() - began:.0f} s"
        )


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("really_postgresql")
@pytest.mark.parametrize(
    "statement",
    [
        pytest.param("SELECT 1", id="that has written nothing yet"),
        pytest.param("SELECT pg_current_xact_id()", id="that has written"),
    ],
)
def test_an_open_transaction_is_waited_for(statement):
    ticks = []
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": None}) as other:
        other.execute(statement)

        def tick():
            ticks.append(1)
            if len(ticks) == 3:
                other.commit()

        in_flight.wait("default", tick=tick)
    assert len(ticks) >= 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("really_postgresql")
def test_what_was_sealed_before_and_commits_late_keeps_its_key(settings):
    settings.KEY_CACHE_SECONDS = settings.IN_HAND_SECONDS = 0
    populate(3)
    patient, sealed, waited_for = Patient.objects.first(), threading.Event(), threading.Event()

    def link_slowly():
        try:
            with transaction.atomic():
                WechatAccount.objects.create(
                    patient=patient, appid="wx1", openid="o-late", created_at=AT
                )
                sealed.set()
                waited_for.wait(20)
        finally:
            connections.close_all()

    slow = threading.Thread(target=link_slowly)
    slow.start()
    assert sealed.wait(20)
    errand, waits = errands.new_data_keys(), []

    def told(_run, waiting_for):
        waits.append(waiting_for == "等待未结束的事务")
        if sum(waits) == 3:
            waited_for.set()

    job = jobs.opened(errand.kind, errand.target)
    with jobs.Run(job, rate=0, batch=0, told=told) as run:
        jobs.work(run, errand.phases)
    waited_for.set()
    slow.join()

    keyring.clear()
    assert WechatAccount.objects.get().openid == "o-late"


# The processes.


def _build() -> None:
    FileProvider.create(Path(os.environ["KEY_FILE"]))
    call_command("migrate", verbosity=0)
    populate(PATIENTS)


def _rotate(*args: str) -> None:
    call_command("rotatekeys", *args)


def _more_keys() -> None:
    """Subjects without rows: what a hospital has after some years."""
    suite, epoch = epochs.configured_suite(), epochs.active()
    for _ in range(0, KEYS - PATIENTS, 5_000):
        made = [new_key(uuid7(), 1, suite=suite, epoch=epoch) for _ in range(5_000)]
        DataKey.objects.bulk_create(made)


def _write(name: str) -> None:
    """Enrol people, also those the others enrol; change those who are ours; read and compare."""
    var, dice, known = Path(os.environ["WARD"]), random.Random(name), {}
    mine = [n for n in range(PATIENTS) if n % WRITERS == int(name)]
    turn = 0
    with (var / f"journal-{name}").open("a", buffering=1) as journal:
        while not (var / "stop").exists():
            turn += 1
            time.sleep(PAUSE)
            fresh, shared = f"W{name}{turn:08d}", f"S{turn:08d}"
            for number, called in ((fresh, "新人"), (shared, "同人")):
                with _repair():
                    patient, _is_new = enrol(
                        Person(called, 2, number), accounts={}, campus="main", at=AT
                    )
                known[number] = called
                journal.write(json.dumps([number, called, str(patient.pk)]) + "\n")
            n = dice.choice(mine)
            number, called = f"E{n:010d}", f"{name_of(n)}改{turn}"
            patient = Patient.objects.with_document(2, number).get()
            assert patient.real_name == known.get(number, name_of(n))
            patient.real_name = called
            with _repair():
                patient.save()
            known[number] = called
            journal.write(json.dumps([number, called, str(patient.pk)]) + "\n")
            number = dice.choice([*known])
            assert Patient.objects.with_document(2, number).get().real_name == known[number]


@contextmanager
def _repair() -> Iterator[None]:
    """One event for whatever is changed: here nobody's visit is."""
    with transaction.atomic():
        record(Action.DATABASE_REPAIR, by=SYSTEM, on=None, at=AT, reason="a writer of a test")
        yield


def _compare() -> None:
    """Ask the database, with nothing remembered, for everything the writers know."""
    written: dict[str, tuple[str, str]] = {}
    for path in Path(os.environ["WARD"]).glob("journal-*"):
        for line in path.read_text().splitlines():
            number, called, pk = json.loads(line)
            assert written.get(number, ("", pk))[1] == pk  # a shared person is one patient
            written[number] = called, pk
    everybody = {f"E{n:010d}": name_of(n) for n in range(PATIENTS)}
    everybody |= {number: called for number, (called, _pk) in written.items()}

    assert {one.document_number: one.real_name for one in Patient.objects.all()} == everybody
    assert Patient.objects.count() == len(everybody)
    for number in random.Random(8).sample([*everybody], 500):
        assert Patient.objects.with_document(2, number).get().document_number == number

    newest = dict(DataKey.objects.order_by("generation").values_list("subject", "generation"))
    assert DataKey.objects.count() == len(newest)
    for pk, *values in Patient.objects.values_list("pk", "real_name", "document_number"):
        assert {generation_of(held.blob) for held in values} == {newest[pk]}
    assert DataKey.objects.count() >= KEYS
    assert not DataKey.objects.exclude(epoch=KeyEpoch.objects.get(state="active")).exists()
    states = IndexKey.objects.filter(label=LABEL).order_by("version")
    assert [*states.values_list("state", flat=True)] == ["destroyed", "active"]
    call_command("sealcheck")


def main(act: str, *args: str) -> None:
    project.IN_HAND_SECONDS = 1  # seconds; nobody here works longer on anything
    acts: dict[str, Callable[..., None]] = {
        "build": _build,
        "compare": _compare,
        "more_keys": _more_keys,
        "rotate": _rotate,
        "write": _write,
    }
    acts[act](*args)
