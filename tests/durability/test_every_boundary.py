"""
A process that dies before its first statement, before its second, and so on to the last.

Between any two of them, before each COMMIT and before each message: whatever a dead process had not
committed is gone, the rest stays. Then the terminal asks again, the sweeper sweeps, a worker works.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from celery.signals import after_task_publish, before_task_publish
from django.db import connection as database
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from devices import journal
from faceauth import connection, tasks
from faceauth.models import FaceSession
from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.patients.models import Patient
from tests.conftest import recorded, see
from tests.hospital.notarised import BOTH, House

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 100  # boundaries: what has more never ends
ACTS = {"session.open", "session.see", "session.authorize", "wechat.answer", "patient.onboard"}


class Killed(BaseException):
    """What `kill -9` is to a process: nothing of its own runs any more."""


class Process:
    """Dies before its n-th boundary, and stays dead; `passed` are those it came past."""

    def __init__(self, dies_before: int) -> None:
        self.dies_before = dies_before
        self.passed: list[str] = []
        self.is_dead = False

    def reach(self, boundary: str) -> None:
        if self.is_dead or len(self.passed) + 1 == self.dies_before:
            self.is_dead = True
            raise Killed
        self.passed.append(boundary)

    def statement(self, execute, sql, params, many, context):
        self.reach(sql)
        return execute(sql, params, many, context)

    def message(self, **_kwargs) -> None:
        self.reach("a message too early" if database.in_atomic_block else "a message")


@contextmanager
def living(dies_before: int) -> Iterator[Process]:
    """Live until the block ends or death comes; then nothing is remembered but what is on disk."""
    process, commit = Process(dies_before), BaseDatabaseWrapper.commit

    def committing(self: BaseDatabaseWrapper) -> None:
        try:
            process.reach("COMMIT")
        except Killed:
            self.rollback()  # as the database does, once its client is gone
            raise
        commit(self)

    before_task_publish.connect(process.message)
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            database.execute_wrapper(process.statement),
            suppress(Killed),
        ):
            patch.setattr(BaseDatabaseWrapper, "commit", committing)
            yield process
    finally:
        before_task_publish.disconnect(process.message)
    assert not database.in_atomic_block
    keyring.clear()
    connection.close()


@pytest.fixture(autouse=True, params=BOTH)
def engine(request):
    assert database.vendor == request.param, "run by tests/on_postgresql.py"


@pytest.fixture(autouse=True)
def no_notes(monkeypatch):
    """Once a second a request writes what was noted for the admin as well: not in these."""
    monkeypatch.setattr(journal, "_written", time.monotonic() + 3600)


@pytest.fixture
def messages():
    """What was published and no worker took yet."""
    heard: list[dict[str, str]] = []

    def hear(*, body, **_kwargs):
        heard.append(json.loads(json.dumps(body[1])))

    after_task_publish.connect(hear, sender=tasks.onboard.name)
    yield heard
    after_task_publish.disconnect(hear, sender=tasks.onboard.name)


@pytest.fixture
def trail(tmp_path, db):
    return House(tmp_path / "trail", now=timezone.now())


@pytest.fixture
def stranger(kiosk, notice, merchant, simulator):
    """Somebody nobody knows, seen at the terminal."""
    return lambda n: see(kiosk, simulator, f"stranger-{n}")


@pytest.fixture
def submit(kiosk):
    """What the terminal says once WeChat's screen was confirmed, and says again until it hears."""

    def submit(session):
        path, key = f"face-sessions/{session.pk}/authorization/", f"authorization-{session.pk}"
        return kiosk.post(path, {"return_code": "SUCCESS"}, **{"Idempotency-Key": key})

    return submit


def work(messages):
    while messages:
        tasks.onboard.apply(kwargs=messages.pop(0), throw=True)


def recover(messages):
    """Leases run out, the sweeper comes, and a worker takes what it is told."""
    FaceSession.objects.filter(state="authorized").update(due_at=timezone.now())
    tasks.wake_due()
    work(messages)


def acts(session):
    """Return how often each act on this visit is in the trail."""
    said = [json.loads(one) for one in Event.objects.values_list("payload", flat=True)]
    about = [
        one
        for one in said
        if str(session.pk) in (one["object"].get("id"), one.get("facts", {}).get("session"))
    ]
    return Counter(one["action"] for one in about)


def assert_whole(sessions, trail):
    """Everybody is on record once, each act is in the trail once, and the trail verifies."""
    for session in sessions:
        session.refresh_from_db()
        assert (session.state, session.face_sid, session.answer) == ("onboarded", None, None)
        assert acts(session) == dict.fromkeys(ACTS, 1)
    assert len({session.patient_id for session in sessions}) == len(sessions)
    assert Patient.objects.count() == len(sessions)
    trail.notary().step(now=timezone.now())
    assert trail.verify().findings == []


def test_a_yes_survives_the_death_of_its_web_before_every_boundary(
    stranger, simulator, messages, submit, trail
):
    sessions = []
    with recorded():
        for n in range(1, MOST):
            session = stranger(n)
            sessions.append(session)
            with living(n) as web:
                submit(session)
            work(messages)

            assert submit(session).status_code == 202
            recover(messages)

            if not web.is_dead:
                break

    assert web.passed[-2:] == ["COMMIT", "a message"]
    assert {*simulator.requests()["face_sids"].values()} == {1}
    assert_whole(sessions, trail)


def test_a_visit_survives_the_death_of_its_worker_before_every_boundary(
    stranger, simulator, messages, submit, trail
):
    sessions = []
    with recorded():
        for n in range(1, MOST):
            session = stranger(n)
            sessions.append(session)
            submit(session)
            before = simulator.requests()["users"]
            with living(n) as worker:
                work(messages)
            asked = simulator.requests()["users"] - before
            kept = acts(session)["wechat.answer"]
            messages.clear()  # it died with its message

            recover(messages)

            again = simulator.requests()["users"] - before - asked
            assert asked <= 1
            assert again == 1 - kept  # what was kept is not asked for again
            if not worker.is_dead:
                break

    assert worker.passed[-1] == "COMMIT"
    assert_whole(sessions, trail)
