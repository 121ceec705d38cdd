"""A sweep is killed between its batches: nothing is half done, and the next goes on."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VISITS = 40
PATIENCE = 120.0  # seconds until a process that should do something is given up

# Visits of long ago in a database of its own, guarded as after any migration.
FILL = """
from datetime import UTC, datetime
from django.core.management import call_command
from django.db import transaction
from devices.models import Store, Terminal
from faceauth.models import Consent, FaceSession, Notice
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto.providers.file import FileProvider
from django.conf import settings
call_command("migrate", verbosity=0)
then = datetime(2020, 2, 29, tzinfo=UTC)
with transaction.atomic():
    store = Store.objects.create(code="menzhen", name="门诊楼")
    terminal = Terminal.objects.create(serial="T-1", name="大厅", store=store)
    notice = Notice.objects.create(version=1, title="告知书", text="……", fallback="人工窗口",
        purposes=[{"code": "onboarding", "label": "建档", "required": True}])
    for one, action in ((store, Action.STORE_CREATE), (terminal, Action.TERMINAL_CREATE),
                        (notice, Action.NOTICE_CREATE)):
        record(action, by=SYSTEM, on=one, at=then)
    for _ in range(VISITS):
        consent = Consent.objects.create(notice=notice, notice_digest="", granted=True,
            purposes=["onboarding"], terminal=terminal, at=then)
        session = FaceSession.objects.create(terminal=terminal, consent=consent, state="failed",
            opened_at=then, finished_at=then)
        record(Action.SESSION_OPEN, by=SYSTEM, on=session, at=then, consent=consent.pk)
"""
# Two rows a batch; after so many of them it says so, and is killed where it stands. Its own lease
# is short, so that the next need not wait for it.
SWEEP = """
import sys
from datetime import timedelta
from django.utils import timezone
from hospital.privacy import sweeping
sweeping.BATCH, sweeping.LEASE = 2, timedelta(seconds=LASTS)
told = []
def tell(run):
    told.append(run)
    if len(told) == STOPS:
        print("here", flush=True)
        sys.stdin.read()  # until it is killed
sweeping.sweep(clock=timezone.now, told=tell)
"""


class Ward:
    """A database of its own, and the processes at work on it."""

    def __init__(self, var):
        self.var, self.database = var, var / "db.sqlite3"

    def start(self, code, **names):
        given = "\n".join(f"{name} = {value!r}" for name, value in names.items())
        return subprocess.Popen(
            [sys.executable, "-c", f"import django; django.setup()\n{given}\n{code}"],
            cwd=ROOT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "tests.settings",
                "DATABASE_URL": f"sqlite:///{self.database}",
                "LOG_LEVEL": "ERROR",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code, **names):
        _, said = (process := self.start(code, **names)).communicate(timeout=PATIENCE)
        assert process.returncode == 0, said

    def sql(self, statement):
        with closing(sqlite3.connect(self.database, timeout=20)) as file:
            return file.execute(statement).fetchall()

    def visits(self):
        return self.sql("SELECT count(*) FROM faceauth_facesession")[0][0]

    def named(self):
        """Return how many rows the trail says went, and how many it names."""
        events = self.sql("SELECT payload FROM audit_event WHERE action = 'retention.sweep'")
        facts = [json.loads(payload)["facts"] for (payload,) in events]
        visits = [one for one in facts if one["category"] == "session"]
        return sum(one["count"] for one in visits), sum(len(one["rows"]) for one in visits)


@pytest.fixture
def ward(tmp_path):
    ward = Ward(tmp_path)
    ward.run(FILL, VISITS=VISITS)
    return ward


def test_killed_between_any_two_batches_it_is_gone_on_with(ward):
    left, kills = ward.visits(), 0
    assert left == VISITS
    while kills < 3:
        process = ward.start(SWEEP, STOPS=4, LASTS=0)
        assert process.stdout.readline() == "here\n", process.stderr.read()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills, left = kills + 1, ward.visits()
        assert ward.named() == (VISITS - left, VISITS - left)
    assert 0 < left < VISITS

    ward.run(SWEEP, STOPS=0, LASTS=60)

    assert ward.visits() == 0
    assert ward.named() == (VISITS, VISITS)
    [(state, counts)] = ward.sql("SELECT state, counts FROM privacy_retentionrun")
    assert (state, json.loads(counts)["session"]) == (
        "done",
        {"due": VISITS, "gone": VISITS, "held": 0},
    )
    assert ward.sql("SELECT count(*) FROM audit_change WHERE event_id IS NULL") == [(0,)]
