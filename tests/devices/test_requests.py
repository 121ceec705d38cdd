"""Each terminal's last requests are there to be looked at, and cost its answers nothing."""

import threading

import httpx
import pytest
from django.db import DatabaseError, connection, connections
from django.utils import timezone

from devices import activation, journal, suspension
from devices.agent import keys
from devices.agent.signing import TerminalAuth
from devices.models import TerminalRequest
from tests import minutes


@pytest.fixture(autouse=True)
def just_written(monkeypatch):
    """Nothing is due by itself: a test says when."""
    monkeypatch.setattr(journal, "EVERY", 3600)
    monkeypatch.setattr(journal, "_written", journal.time.monotonic())


def kept(terminal):
    journal.flush()
    return list(terminal.requests.all())


def test_a_request_is_kept_with_its_verdict_and_its_id(kiosk, notice):
    answer = kiosk.get("notice/")

    [one] = kept(kiosk.terminal)
    assert (one.method, one.route, one.status, one.code) == ("GET", "notice", 200, "")
    assert one.request_id == answer.headers["X-Request-Id"]


def test_a_refusal_is_kept_with_its_code(kiosk, notice, lin):
    kiosk.post("face-sessions/", {"granted": True})
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="待修")
    kiosk.get("notice/")

    codes = [(one.status, one.code) for one in kept(kiosk.terminal)]

    assert codes == [(403, "terminal_suspended"), (422, "invalid")]


def test_nothing_a_person_sent_or_got_is_kept(kiosk, notice, merchant):
    session = kiosk.agree()
    kiosk.get(f"face-sessions/{session}/?wait=0")

    rows = kept(kiosk.terminal)

    assert session not in str([vars(row) for row in rows])
    assert rows[0].route == "face-session"


def test_a_request_by_a_key_that_was_cut_off_is_its_terminals(kiosk, lin):
    activation.revoke(kiosk.key, by=lin, at=timezone.now())
    kiosk.get("notice/")

    [one] = kept(kiosk.terminal)
    assert (one.status, one.code) == (401, "key_unknown")


def test_a_request_by_a_key_nobody_knows_is_nobodys(kiosk):
    stranger = keys.make("ed25519")
    kiosk.http.get("/api/v1/notice/", auth=TerminalAuth(stranger, keys.key_id(stranger)))

    assert kept(kiosk.terminal) == []


def test_a_flood_of_denials_does_not_push_out_what_was_served(kiosk, notice, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr("hospital.audit.flood.RECORDED", 3)
    kiosk.get("notice/")
    forger = TerminalAuth(keys.make("ecdsa-p256-sha256"), kiosk.key.pk)
    for _ in range(8):
        kiosk.http.get("/api/v1/notice/", auth=forger)

    assert [one.status for one in kept(kiosk.terminal)] == [401, 401, 401, 200]


@pytest.mark.parametrize(
    ("path", "accepts"),
    [("notice/", "*/*"), ("notice/", "text/html"), ("terminals/activation/", "*/*")],
    ids=["forged", "not acceptable", "activation"],
)
def test_who_only_names_a_key_pushes_out_nothing(kiosk, notice, path, accepts):
    served = [kiosk.get("notice/").headers["X-Request-Id"] for _ in range(40)]
    journal.flush()
    forger = TerminalAuth(keys.make("ecdsa-p256-sha256"), kiosk.key.pk)
    for _ in range(TerminalRequest.KEPT + 1):
        kiosk.http.post(f"/api/v1/{path}", auth=forger, headers={"Accept": accepts}, json={})
        journal.flush()

    rows = kept(kiosk.terminal)

    assert {one.request_id for one in rows if one.status == 200} == set(served)
    assert len(rows) <= 40 + TerminalRequest.UNPROVEN


def test_an_activation_is_the_first_request_of_a_terminal(kiosk, lin):
    code, box = activation.issue(kiosk.terminal, by=lin, at=timezone.now()), keys.make("ed25519")
    asked = {"code": code, "public_key": keys.public_pem(box)}
    versions = {"model": "ABC", "sdk_version": "1.26", "agent_version": "1"}
    kiosk.http.post(
        "/api/v1/terminals/activation/",
        auth=TerminalAuth(box, keys.key_id(box)),
        json=asked | versions,
    )

    [one] = kept(kiosk.terminal)
    assert (one.route, one.status) == ("activation", 201)


def test_a_bug_is_kept_too(kiosk, notice, monkeypatch):
    def broken(**_kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("faceauth.views.consent.notice_in_force", broken)
    kiosk.http._transport = httpx.WSGITransport(
        app=kiosk.http._transport.app, raise_app_exceptions=False
    )
    kiosk.get("notice/")

    [one] = kept(kiosk.terminal)
    assert (one.status, one.code) == (500, "error")


def test_fifty_of_each_terminal_are_kept(kiosk, install, notice, monkeypatch):
    monkeypatch.setattr(TerminalRequest, "KEPT", 5)
    other = install("T-2")
    other.get("notice/")
    journal.flush()
    for _ in range(2):
        for _ in range(4):
            kiosk.get("notice/")
        newest = kiosk.get("notice/").headers["X-Request-Id"]
        journal.flush()

    rows = kept(kiosk.terminal)

    assert len(rows) == 5
    assert rows[0].request_id == newest
    assert len(kept(other.terminal)) == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_processes_keep_fifty_together(kiosk):
    together = threading.Barrier(2)

    def work():
        for number in range(4):
            notes = [
                journal.Note(timezone.now(), kiosk.terminal.pk, "", "GET", "r", 200, "", n, "id")
                for n in range(number, number + 40)
            ]
            rows = journal._rows(notes)
            together.wait()
            TerminalRequest.objects.bulk_create(rows)
            TerminalRequest.objects.of({kiosk.terminal.pk}).surplus().delete()
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 50 <= kiosk.terminal.requests.count() <= 90
    TerminalRequest.objects.of({kiosk.terminal.pk}).surplus().delete()
    assert kiosk.terminal.requests.count() == 50


def test_an_answer_waits_for_no_insert(kiosk, notice):
    kiosk.get("notice/")

    assert TerminalRequest.objects.count() == 0


def test_what_is_due_is_written_once_the_answer_is_gone(kiosk, notice, monkeypatch):
    monkeypatch.setattr(journal, "_written", journal.time.monotonic() - 3601)

    kiosk.get("notice/")
    kiosk.get("notice/")

    assert TerminalRequest.objects.count() == 1


def test_while_the_database_is_away_notes_are_lost_and_nothing_else(kiosk, notice, monkeypatch):
    def away(*_args, **_kwargs):
        raise DatabaseError

    kiosk.get("notice/")
    with monkeypatch.context() as patch:
        patch.setattr(connection, "savepoint", away)
        journal.flush()

    assert kept(kiosk.terminal) == []
    assert kiosk.get("notice/").status_code == 200


def test_notes_held_are_bounded(monkeypatch):
    for number in range(journal.HELD + 10):
        journal.note(
            terminal_id=None, key_id="", method="GET", route="r", status=200, code="", ms=number
        )

    assert len(journal._notes) == journal.HELD
    assert journal._notes[-1].ms == journal.HELD + 9
