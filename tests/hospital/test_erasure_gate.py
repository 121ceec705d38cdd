"""A database from a backup serves nobody before those forgotten since are forgotten again."""

from contextlib import closing
from datetime import timedelta
from io import StringIO

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from hospital import starting
from hospital.audit.models import Event
from hospital.celery import Gated, app
from hospital.crypto import keyring
from hospital.patients.models import Patient
from hospital.privacy import tasks
from hospital.privacy.erasing import replaying, running, standing
from hospital.privacy.models import Erasure, LedgerMark, LegalHold, RetentionRun
from tests.hospital.test_erasing import (
    OPENID,
    cold,
    decided,
    erase,
    nobody_waits,
    onboard,
    patient,
    steps,
)

__all__ = ["nobody_waits", "patient"]

# Readiness asks in threads of its own, which see what is committed.
committed = pytest.mark.django_db(transaction=True)


@pytest.fixture
def restored(patient):
    """Somebody was erased; then came a backup in which they are as before, and nobody knows."""
    erase(patient)
    path = standing.settings.ERASURE_LEDGER
    kept = path.read_bytes()
    back = onboard()
    # The same person under the id they had: the ledger speaks of that id.
    line = standing.lines()[0]
    Erasure.objects.all().delete()
    LedgerMark.objects.all().delete()
    path.unlink()
    entry = type(line.entry)(line.entry.erasure, back.pk, (back.pk,), line.entry.at)
    standing.ledger.append(standing.store(), entry, key=standing.key(), after=standing.BEGIN)
    assert path.read_bytes() != kept
    standing.forget()
    return back


def replay():
    return list(replaying.replay(verify=cold, at=timezone.now()))


@committed
def test_a_new_installation_serves(db, client):
    standing.forget()

    assert client.get("/readyz").status_code == 200
    starting.refuse_unreplayed()


@committed
def test_who_erased_serves_on(patient, client):
    erase(patient)
    standing.forget()

    assert client.get("/readyz").status_code == 200


@committed
def test_a_line_nobody_knows_stops_every_page(restored, client):
    assert client.get("/readyz").json()["failed"] == ["erasures"]
    assert client.get("/healthz").status_code == 200
    page = client.get("/admin/login/")
    assert page.status_code == 503
    assert "replayerasures" in page.content.decode()
    answer = client.get("/api/v1/notice/")
    assert (answer.status_code, answer.json()["code"]) == (503, "erasures_unreplayed")
    assert answer["Content-Type"] == "application/problem+json"


def test_nothing_starts_on_it(restored):
    with pytest.raises(ImproperlyConfigured, match="replayerasures"):
        starting.refuse_unreplayed()


def test_a_worker_that_ran_through_the_restore_does_nothing(restored):
    tasks.sweep_retention.apply(throw=True)
    assert not RetentionRun.objects.exists()

    replay()

    tasks.sweep_retention.apply(throw=True)
    assert RetentionRun.objects.get().state == "done"


def test_nobody_sweeps_it_by_hand(restored):
    with pytest.raises(CommandError, match="replayerasures"):
        call_command("sweepretention", stdout=StringIO())
    assert not RetentionRun.objects.exists()


def test_every_task_of_ours_asks_first():
    ours = [task for name, task in app.tasks.items() if not name.startswith("celery.")]

    assert ours
    assert all(isinstance(task, Gated) for task in ours)


def test_no_other_erasure_goes_on_meanwhile(restored):
    other = decided(onboard(), at=timezone.now())

    with pytest.raises(standing.Unreplayed):
        running.advance(other.pk, at=timezone.now())


@committed
def test_replayed_they_are_gone_and_everybody_is_served(restored, client):
    [line] = replay()

    assert line.entry.subject == restored.pk
    assert keyring.alive([restored.pk]) == set()
    erasure = Erasure.objects.get()
    assert (erasure.pk, erasure.state, erasure.cause) == (line.entry.erasure, "done", "replay")
    assert steps(restored) == ["begun", "keys", "rows", "traces", "done"]
    assert Event.objects.filter(action="erasure.replay").count() == 1
    assert client.get("/readyz").status_code == 200
    starting.refuse_unreplayed()


def test_replayed_twice_changes_nothing(restored):
    replay()
    before = Event.objects.count()

    assert replay() == []
    assert Event.objects.count() == before


def test_a_hold_does_not_bring_back_who_was_erased_before(restored):
    now = timezone.now()
    until = timezone.localdate(now) + timedelta(days=9)
    LegalHold.objects.create(patient=restored, until=until, placed_at=now, proposal=restored.pk)

    assert replay()

    assert keyring.alive([restored.pk]) == set()


def test_an_erasure_that_was_cooling_in_the_backup_is_carried_out(restored):
    waiting = decided(restored, cooling=timedelta(hours=72))

    assert replay()

    waiting.refresh_from_db()
    assert waiting.state == "done"
    assert Erasure.objects.count() == 1


def test_who_is_not_in_the_backup_at_all_is_no_obstacle(restored):
    Patient.objects.all().delete()

    assert replay()
    assert Erasure.objects.get().state == "done"


@committed
def test_keys_that_came_back_are_found_and_destroyed(patient, client):
    from hospital.crypto import data_keys  # noqa: PLC0415

    erase(patient)
    suite, epoch = data_keys.epochs.configured_suite(), data_keys.epochs.active()
    data_keys.new_key(patient.pk, 7, suite=suite, epoch=epoch).save()
    standing.forget()
    assert client.get("/readyz").json()["failed"] == ["erasures"]
    assert replaying.outstanding().keys == 1

    assert replay()

    assert keyring.alive([patient.pk]) == set()
    assert client.get("/readyz").status_code == 200


def test_a_lost_ledger_is_said_to_be_lost(patient, client):
    erase(patient)
    standing.settings.ERASURE_LEDGER.unlink()
    standing.forget()

    answer = client.get("/api/v1/notice/")
    assert answer.json()["code"] == "erasures_ledger_lost"
    with pytest.raises(CommandError, match="台账缺失"):
        call_command("replayerasures", stdout=StringIO())


def test_a_changed_ledger_is_said_to_be_changed(patient, client):
    erase(patient)
    path = standing.settings.ERASURE_LEDGER
    path.write_bytes(path.read_bytes().replace(b'"place":1', b'"place":2'))

    with pytest.raises(standing.LedgerForged):
        standing.demand_replayed(thorough=True)


def test_the_dry_run_says_how_much_and_does_nothing(restored):
    out = StringIO()

    call_command("replayerasures", "--dry-run", stdout=out)

    assert "需要重做 1 项删除" in out.getvalue()
    assert keyring.alive([restored.pk])


def test_static_files_are_served_all_the_same(restored):
    with closing(Client().get("/static/hospital/desk.css")) as answer:
        assert answer.status_code == 200


def test_openid_is_in_no_ledger(patient):
    erase(patient)
    text = standing.settings.ERASURE_LEDGER.read_text()

    assert not any(word in text for word in (OPENID, "张三", "11010119900307002X"))
