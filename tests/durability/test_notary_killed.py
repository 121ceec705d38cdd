"""`kill -9` at the worst moments: nothing is lost, nothing is sealed twice, the log goes on."""

import base64
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from hospital.audit.checkpoint import Checkpoint, Note, Verifier
from tests.house import free_ports, postgresql, until

pytestmark = pytest.mark.postgresql

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds, for a machine that is busy with something else

# What is wrapped so that the process ends itself before, or after, doing it.
MOMENTS = {
    "the queue is taken, no leaf is made": ("hospital.audit.tree.Tree.append", "before"),
    "the leaves are inserted, not committed": ("hospital.audit.tree.Tree.append", "after"),
    "the order is on disk, not signed": ("hospital.audit.notary.Notary._publish", "before"),
    "it is signed, not stored": ("hospital.audit.notary.Notary._keep", "before"),
    "it is stored, not remembered": ("hospital.audit.marking.Mark.advance", "before"),
    "it is remembered": ("hospital.audit.marking.Mark.advance", "after"),
}

WRITE = """
import django; django.setup()
from django.db import transaction
from django.utils import timezone
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
with transaction.atomic():
    for _ in range(7):
        record(Action.SESSION_EXPIRE, by=SYSTEM, on=None, at=timezone.now())
"""
STEP = """
import os, signal, sys
import django; django.setup()
from django.utils import timezone
from django.utils.module_loading import import_string
from hospital.audit import trail
notary = trail.notary()(timezone.now())
where, when = sys.argv[1:]
owner, name = where.rsplit(".", 1)
owner = import_string(owner)
done = getattr(owner, name)
def dying(*args, **kwargs):
    if when == "after":
        done(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, dying)
notary.step(now=timezone.now())
"""


class Installation:
    """A database with the trail's tables, a key, and processes that work on them."""

    def __init__(self, url, var):
        self.url = url
        self.environment = {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "hospital.settings",
            "DEPLOY_LEVEL": "demo",
            "DATABASE_URL": url,
            "VAR_DIR": str(var),
            "SECRET_KEY": "x" * 50,
            "AUDIT_MAC_KEY": base64.b64encode(b"m" * 32).decode(),
            "TRAIL_ORIGIN": "killed.example/trail",
            "NOTARY_KEY_FILE": str(var / "notary.pem"),
        }
        (var / "broker").mkdir()
        self.run("manage.py", "migrate", "--skip-checks", "-v", "0")
        self.environment["TRAIL_VERIFIERS"] = self.run("manage.py", "createlogkey").strip()

    def start(self, *command):
        return subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *command, ends=0):
        process = self.start(*command)
        out, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == ends, out + errors
        return out

    def sql(self, statement):
        with psycopg.connect(self.url, autocommit=True) as server:
            return server.execute(statement).fetchall()

    def sealed(self):
        """Return the ids of the events, in the order of record."""
        return [one for (one,) in self.sql('SELECT event_id FROM audit_leaf ORDER BY "index"')]

    def events(self):
        return [one for (one,) in self.sql("SELECT id FROM audit_event ORDER BY id")]


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    server = os.environ.get("DATABASE_URL", "")
    with postgresql(server) as url:
        yield Installation(url, tmp_path_factory.mktemp("var"))


@pytest.mark.parametrize("moment", MOMENTS)
def test_it_is_killed_when(installation, moment):
    installation.run("-c", WRITE)

    installation.run("-c", STEP, *MOMENTS[moment], ends=-signal.SIGKILL)
    installation.run("manage.py", "runnotary", "--once")

    assert sorted(installation.sealed()) == installation.events()
    assert installation.sql("SELECT count(*) FROM audit_pending") == [(0,)]
    installation.run("manage.py", "verifyaudit")


WITNESS = "witness.killed.example"


@pytest.fixture
def witness(installation, tmp_path):
    """A witness by a process of its own, whom the notary asks; its public key and directory."""
    [port] = free_ports(1)
    environment, state = installation.environment, tmp_path / "witness"
    log = environment["TRAIL_VERIFIERS"]
    process = installation.start(
        "manage.py", "runwitness", "--port", str(port), "--state", str(state),
        "--name", WITNESS, "--log", log,
    )  # fmt: skip
    try:
        key = re.search(r"公钥 (\S+)", process.stdout.readline())[1]
        installation.environment = environment | {
            "WITNESS_URL": f"http://127.0.0.1:{port}/",
            "TRAIL_VERIFIERS": f"{log},{key}",
        }
        yield Verifier.parse(key), state
    finally:
        installation.environment = environment
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors


@pytest.mark.parametrize("meanwhile", [False, True], ids=["nothing new", "more came"])
def test_killed_between_the_witness_signature_and_storing_it_it_goes_on(
    installation, witness, meanwhile
):
    key, state = witness
    installation.run("-c", WRITE)
    where, when = MOMENTS["it is signed, not stored"]

    installation.run("-c", STEP, where, when, ends=-signal.SIGKILL)
    [signed] = (state / "signed").iterdir()
    ahead = Checkpoint.parse(signed.read_text()).size
    [(stored,)] = installation.sql("SELECT coalesce(max(size), 0) FROM audit_checkpoint")
    assert stored < ahead == len(installation.sealed())
    if meanwhile:
        installation.run("-c", WRITE)
    installation.run("manage.py", "runnotary", "--once")

    [(note,)] = installation.sql("SELECT note FROM audit_checkpoint ORDER BY size DESC LIMIT 1")
    newest = Note.parse(note)
    assert newest.is_signed_by(key)
    assert newest.checkpoint == Checkpoint.parse(signed.read_text())
    assert newest.checkpoint.size == len(installation.events())
    installation.run("manage.py", "verifyaudit")


def test_of_two_the_second_goes_on_when_the_first_is_killed(installation):
    first = installation.start("manage.py", "runnotary", "--interval", "0.1")
    installation.run("-c", WRITE)
    until(lambda: len(installation.sealed()) == len(installation.events()), "the first seals")
    second = installation.start("manage.py", "runnotary", "--interval", "0.1")
    try:
        first.kill()
        first.communicate(timeout=PATIENCE)
        installation.run("-c", WRITE)
        until(lambda: len(installation.sealed()) == len(installation.events()), "the second does")
    finally:
        second.terminate()
        _, errors = second.communicate(timeout=PATIENCE)

    assert second.returncode == 0, errors
    installation.run("manage.py", "verifyaudit")


def test_what_happened_in_its_last_second_is_sealed_when_it_is_stopped(installation):
    works = installation.start("manage.py", "runnotary", "--interval", "600")
    try:
        assert "notary.started" in works.stderr.readline()
        installation.run("-c", WRITE)
    finally:
        works.terminate()
        _, errors = works.communicate(timeout=PATIENCE)

    assert works.returncode == 0, errors
    assert len(installation.sealed()) == len(installation.events())


def test_a_database_that_went_away_comes_back(installation):
    works = installation.start("manage.py", "runnotary", "--interval", "0.1")
    try:
        installation.run("-c", WRITE)
        until(lambda: len(installation.sealed()) == len(installation.events()), "it seals")
        installation.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        installation.run("-c", WRITE)
        until(lambda: len(installation.sealed()) == len(installation.events()), "it seals again")
    finally:
        works.terminate()
        _, errors = works.communicate(timeout=PATIENCE)

    assert works.returncode == 0, errors
