"""What answering a terminal may ask of the database, of RSA keys and of WeChat: counted."""

import time
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import journal
from tests.budgets.counted import counting
from tests.conftest import see

RAWDATA = "H0kvnUgGHKuqflNwtNqCdOVpbO4FPSowudTG"
# Of every request: whose key, whether its nonce is new, how many of its share it used.
WHO = ["SELECT devices_terminalkey", "INSERT cache", "INSERT cache"]


@pytest.fixture(autouse=True)
def no_notes(monkeypatch):
    """Once a second a request writes what was noted for the admin as well: not in these."""
    monkeypatch.setattr(journal, "_written", time.monotonic() + 3600)


@pytest.fixture
def ask(kiosk):
    return lambda: kiosk.post("authinfo/", {"rawdata": RAWDATA}).raise_for_status()


@pytest.fixture
def submit(kiosk):
    """What a terminal's program says once WeChat's screen was confirmed."""

    def submit(session):
        path, once = f"face-sessions/{session.pk}/authorization/", {"Idempotency-Key": str(uuid4())}
        answer = kiosk.post(path, {"return_code": "SUCCESS"}, **once)
        assert answer.status_code == 202

    return submit


def test_an_authinfo_that_is_kept_takes_six_statements_and_asks_nobody(ask, merchant, simulator):
    ask()

    with counting(simulator) as found:
        ask()

    assert found.statements == [
        *WHO,
        "SELECT faceauth_merchant",
        "SELECT cache",
        "INSERT audit_event",
    ]
    assert found.questions == 0
    assert not found.rsa_operations


def test_an_authinfo_that_is_not_kept_takes_one_question_to_wechat(
    ask, install, merchant, simulator
):
    ask()  # keys and routes are there
    new = install("T-2")

    with counting(simulator) as found:
        new.post("authinfo/", {"rawdata": RAWDATA}).raise_for_status()

    assert [one for one in found.statements if not one.endswith(" cache")] == [
        "SELECT devices_terminalkey",
        "SELECT faceauth_merchant",
        "SELECT devices_terminal",  # from here it is the worker's
        "SELECT faceauth_merchant",
        "INSERT audit_event",
    ]
    assert len(found.statements) == 24  # nineteen that Redis takes, where there is one
    assert found.questions == 1
    assert not found.rsa_operations  # v2 signs with a shared key


def test_a_yes_takes_nine_statements_and_asks_nobody(kiosk, notice, merchant, simulator, submit):
    submit(see(kiosk, simulator, "stranger-900"))  # keys and routes are there
    session = see(kiosk, simulator, "stranger-7")

    with counting(simulator) as found:
        submit(session)

    assert found.statements == [
        *WHO,
        "INSERT devices_storedanswer",
        "SELECT faceauth_facesession",
        "UPDATE faceauth_facesession",
        "DELETE faceauth_declining",
        "INSERT audit_event",
        "UPDATE devices_storedanswer",
    ]
    assert found.questions == 0
    assert not found.rsa_operations


def test_a_poll_takes_four_statements_and_asks_nobody(kiosk, seen, simulator):
    with counting(simulator) as found:
        kiosk.get(f"face-sessions/{seen.pk}/").raise_for_status()

    assert found.statements == [*WHO, "SELECT faceauth_facesession"]
    assert found.questions == 0
    assert not found.rsa_operations


def test_a_poll_that_waits_looks_at_the_state_alone(kiosk, seen):
    with CaptureQueriesContext(connection) as captured:
        kiosk.get(f"face-sessions/{seen.pk}/?wait=1").raise_for_status()

    looks = [one["sql"] for one in captured if 'FROM "faceauth_facesession"' in one["sql"]]
    assert len(looks) > 2
    assert ['"patients_patient"' in one for one in looks] == [True] + [False] * (len(looks) - 1)
