"""Asking for a copy of the trail: who may, what is on record, and that it is handed out once."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from celery.signals import after_task_publish
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from uuid6 import uuid7

from hospital import statements
from hospital.accounts.models import Staff
from hospital.audit import log, tasks
from hospital.audit.checkpoint import Note, Signer
from hospital.audit.exporting import checking, making, places, requests, sending, storing
from hospital.audit.exporting.selecting import Filters, NotSealed, Range
from hospital.audit.models import Event, Export, ExportPart, Leaf
from hospital.roles import Role
from tests import signing_in
from tests.conftest import PASSWORD
from tests.hospital.notarised import House, address, tamper
from tests.house import until

ROOT = Path(__file__).resolve().parents[2]
STATE = Export.State
REASON = "张三投诉"  # a name somebody typed


@pytest.fixture
def house(tmp_path, transactional_db, settings):
    """A trail of 25 events, sealed and signed now, and room for its copies."""
    settings.EXPORTS_DIR = tmp_path / "exports"
    house = House(tmp_path, now=timezone.now())
    settings.TRAIL_ORIGIN = house.origin
    settings.TRAIL_VERIFIERS = [str(one) for one in house.verifiers]
    house.seal(25)  # with the witness away
    return house


@pytest.fixture
def asked(house, zhou):
    return ask(zhou, house)


@pytest.fixture
def ready(house, asked):
    making.make(asked.pk, clock=lambda: house.now)
    asked.refresh_from_db()
    return asked


@pytest.fixture
def heard():
    """What the worker was asked to do."""
    ids = []

    def hear(body, **_kwargs):
        ids.append(body[1])

    after_task_publish.connect(hear, sender=tasks.export.name, weak=False)
    yield ids
    after_task_publish.disconnect(hear, sender=tasks.export.name)


def ask(person, house, selection=None, **how):
    how = {"purpose": "review", "reason": REASON, "at": house.now, **how}
    chosen = selection or Range(0, 25)
    return requests.request(chosen, by=person, requested_by=person.pk, **how)


def made(export, house):
    making.make(export.pk, clock=lambda: house.now)
    export.refresh_from_db()


def told():
    """Return the actions on exports that are on record, oldest first."""
    found = Event.objects.filter(action__startswith="export.").order_by("pk")
    return [event.action for event in found]


def fetched(export, person, house):
    return requests.take(export, by=person, clock=lambda: house.now)


def read(export, person, house):
    """Return what who fetches it has in the end."""
    with closing(fetched(export, person, house)) as pieces:
        return b"".join(pieces)


def files(settings):
    return sorted(one.name for one in settings.EXPORTS_DIR.glob("*"))


def stored():
    """Return the attempts there are parts of, and how many."""
    return Counter(ExportPart.objects.values_list("attempt", flat=True))


# From the request to the file


def test_a_copy_is_asked_for_made_and_fetched_and_each_step_is_on_record(house, ready, zhou):
    content = read(ready, zhou, house)

    with zipfile.ZipFile(io.BytesIO(content)) as copy:
        assert copy.read("events.jsonl").count(b"\n") == 25
        assert {"views/events.csv", "views/events.xlsx"} <= set(copy.namelist())
    assert told() == ["export.request", "export.complete", "export.download"]
    ready.refresh_from_db()
    assert (ready.state, ready.rows) == (STATE.TAKEN, 25)


def test_the_copy_is_in_parts_and_gone_when_it_was_fetched(house, zhou, settings, monkeypatch):
    monkeypatch.setattr(storing, "PART", 1_000)
    export = ask(zhou, house)
    made(export, house)
    assert (files(settings), stored()) == ([], {1: -(-export.size // 1_000)})

    content = read(export, zhou, house)

    assert (len(content), hashlib.sha256(content).hexdigest()) == (export.size, export.sha256)
    assert stored() == {}


def test_neither_worker_nor_web_has_more_than_a_few_parts_in_memory(house, asked, tmp_path):
    size, path = 24 * storing.PART, tmp_path / "large"
    path.write_bytes(os.urandom(size))
    renewed = []

    tracemalloc.start()
    sha256 = storing.put(path, export=asked, renew=lambda: renewed.append(True))
    assert len(renewed) == 24
    asked.sha256, asked.size = sha256, size
    sent = sending.Sending(asked, sending.examined(asked), clock=lambda: house.now)
    assert sum(map(len, sent)) == size
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 12 * storing.PART


def test_while_it_is_made_only_its_owner_reads_the_file(house, asked, settings, monkeypatch):
    modes = []

    def look(path, *, keys):
        modes.append([one.stat().st_mode & 0o777 for one in (path, path.parent)])

    monkeypatch.setattr(checking, "verify", look)
    made(asked, house)

    assert (modes, files(settings)) == ([[0o600, 0o700]], [])


def test_who_finished_the_copy_states_its_digests_in_the_trail(ready):
    facts = Event.objects.get(action="export.complete").payload

    assert f'"sha256":"{ready.sha256}"' in facts
    assert f'"sm3":"{ready.sm3}"' in facts


def test_what_was_typed_as_reason_is_in_its_event_and_nowhere_else(house, zhou, settings, caplog):
    export = ask(zhou, house, Filters(actor="張"))
    making.make(export.pk, clock=lambda: house.now)

    said = Event.objects.filter(payload__contains=REASON)
    assert [event.action for event in said] == ["export.request"]
    assert Event.objects.filter(payload__contains="張").count() == 0
    assert REASON not in caplog.text
    assert all(REASON not in name for name in files(settings))


def test_without_a_reason_nothing_is_asked_for(house, zhou):
    for how in ({"reason": "  "}, {"reason": "\u3000\u200b\u3164"}, {"purpose": "curiosity"}):
        with pytest.raises(requests.NoReason):
            ask(zhou, house, **how)

    assert told() == []


def test_what_is_not_sealed_yet_is_refused_at_once(house, zhou):
    with pytest.raises(NotSealed):
        ask(zhou, house, Range(0, 26))


def test_nothing_found_ends_as_a_failure_that_says_so(house, zhou, settings):
    export = ask(zhou, house, Filters(actor="nobody"))

    assert not making.make(export.pk, clock=lambda: house.now)

    export.refresh_from_db()
    assert (export.state, export.problem) == (STATE.FAILED, "nothing_found")
    assert told() == ["export.request", "export.fail"]
    assert files(settings) == []


def test_a_trail_that_was_changed_gives_no_copy(house, asked, settings):
    changed = Leaf.objects.get(index=7).event_id
    tamper(
        "UPDATE audit_event SET payload = replace(payload, 'success', 'failed') WHERE id = %s",
        [changed],
    )

    making.make(asked.pk, clock=lambda: house.now)

    asked.refresh_from_db()
    assert (asked.state, asked.problem) == (STATE.FAILED, "unverified")
    assert files(settings) == []


def test_without_the_logs_key_nothing_is_verified_and_there_is_no_copy(house, asked, settings):
    settings.TRAIL_VERIFIERS = settings.TRAIL_VERIFIERS[1:]

    assert not making.make(asked.pk, clock=lambda: house.now)

    asked.refresh_from_db()
    assert (asked.state, asked.problem) == (STATE.FAILED, "no_key")
    assert "TRAIL_VERIFIERS" in making.PROBLEMS["no_key"]


def test_a_checkpoint_of_another_name_gives_no_copy(house, asked, settings):
    last = log.Checkpoint.objects.get()
    other = Note.parse(last.note).body.replace(house.origin, "hospital.example/trai1")
    forged = Signer("hospital.example/trai1", Ed25519PrivateKey.generate())
    settings.TRAIL_VERIFIERS.append(str(forged.verifier))  # known, and not the log's
    tamper("UPDATE audit_checkpoint SET note = %s", [str(Note(other, (forged.line(other),)))])

    assert not making.make(asked.pk, clock=lambda: house.now)

    asked.refresh_from_db()
    assert (asked.state, asked.problem) == (STATE.FAILED, "unverified")
    assert files(settings) == []


def test_a_verifier_that_does_not_end_ends_the_attempt(house, asked, settings, monkeypatch):
    monkeypatch.setattr(checking, "_LONGEST", 0.001)

    assert not making.make(asked.pk, clock=lambda: house.now)

    asked.refresh_from_db()
    assert (asked.state, asked.problem) == (STATE.FAILED, "unfinished")
    assert files(settings) == []


def test_a_directory_others_write_to_is_not_used(house, asked, settings):
    settings.EXPORTS_DIR.mkdir()
    settings.EXPORTS_DIR.chmod(0o777)

    made(asked, house)

    assert (asked.state, asked.problem) == (STATE.FAILED, "exposed")
    assert "EXPORTS_DIR" in making.PROBLEMS["exposed"]


def test_what_does_not_fit_is_not_begun(house, asked, settings, monkeypatch):
    monkeypatch.setattr(places, "_SPARE", 1 << 62)

    made(asked, house)

    assert (asked.state, asked.problem) == (STATE.FAILED, "no_room")
    assert files(settings) == []


def test_what_was_not_verified_is_not_stored(house, asked, monkeypatch):
    """As by who swaps the file between the two."""
    verify = checking.verify

    def swapped(path, *, keys):
        verify(path, keys=keys)
        path.write_bytes(b"another")

    monkeypatch.setattr(checking, "verify", swapped)
    made(asked, house)

    assert (asked.state, asked.problem) == (STATE.FAILED, "unverified")
    tasks.sweep_exports()
    assert stored() == {}


def test_a_database_that_is_full_has_its_room_back_at_once(house, asked, monkeypatch):
    monkeypatch.setattr(storing, "PART", 1_000)
    insert = statements.insert

    def full(row):
        if isinstance(row, ExportPart) and row.place == 2:
            raise OperationalError("could not extend file: No space left on device")
        insert(row)

    monkeypatch.setattr(statements, "insert", full)
    with pytest.raises(OperationalError):
        making.make(asked.pk, clock=lambda: house.now)

    asked.refresh_from_db()
    assert (stored(), asked.state) == ({}, STATE.RUNNING)  # another attempt follows
    monkeypatch.undo()
    house.later(minutes=6)
    made(asked, house)
    assert (asked.state, asked.attempts, set(stored())) == (STATE.READY, 2, {2})


def test_nobody_asks_for_a_fourth_copy_before_fetching_one(house, ready, zhou):
    ask(zhou, house)
    ask(zhou, house)

    with pytest.raises(requests.TooMany):
        ask(zhou, house)

    fetched(ready, zhou, house).close()
    ask(zhou, house)


def test_where_nothing_can_be_written_it_fails_and_says_why(house, asked, settings):
    settings.EXPORTS_DIR.write_text("a file where the directory should be")

    making.make(asked.pk, clock=lambda: house.now)

    asked.refresh_from_db()
    assert (asked.state, asked.problem) == (STATE.FAILED, "storage")


def test_a_copy_of_which_nobody_hears_that_it_is_made_is_whole(house, asked, zhou, monkeypatch):
    """As where the line breaks after the last COMMIT."""
    complete = making._Attempt.complete

    def unheard(attempt, written):
        complete(attempt, written)
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(making._Attempt, "complete", unheard)
    with pytest.raises(OperationalError):
        making.make(asked.pk, clock=lambda: house.now)

    asked.refresh_from_db()
    assert hashlib.sha256(read(asked, zhou, house)).hexdigest() == asked.sha256


# Workers


def test_a_copy_is_made_by_one_worker(house, asked):
    assert making.make(asked.pk, clock=lambda: house.now)

    assert not making.make(asked.pk, clock=lambda: house.now)
    assert told().count("export.complete") == 1


def test_who_was_silent_for_too_long_finds_its_attempt_taken_over(house, asked, zhou):
    first = making._Attempt.of(asked.pk, lambda: house.now)
    house.later(minutes=6)

    assert making.make(asked.pk, clock=lambda: house.now)

    with pytest.raises(making.LeaseLost):
        first.work()
    assert set(stored()) == {2}
    assert told().count("export.complete") == 1
    asked.refresh_from_db()
    assert hashlib.sha256(read(asked, zhou, house)).hexdigest() == asked.sha256


def test_who_loses_the_lease_while_verifying_leaves_nothing(house, asked, settings, monkeypatch):
    def taken_over(_path, *, keys):
        Export.objects.filter(pk=asked.pk).update(attempts=2)
        assert keys == settings.TRAIL_VERIFIERS[:1]

    monkeypatch.setattr(checking, "verify", taken_over)

    with pytest.raises(making.LeaseLost):
        making.make(asked.pk, clock=lambda: house.now)

    assert (files(settings), stored()) == ([], {})


def test_who_loses_the_lease_while_storing_leaves_parts_that_count_for_nothing(
    house, asked, zhou, settings, monkeypatch
):
    monkeypatch.setattr(storing, "PART", 1_000)
    insert = statements.insert

    def taken_over(row):
        insert(row)
        if isinstance(row, ExportPart) and (row.attempt, row.place) == (1, 2):
            house.later(minutes=6)
            assert making.make(asked.pk, clock=lambda: house.now)

    monkeypatch.setattr(statements, "insert", taken_over)
    with pytest.raises(making.LeaseLost):
        making.make(asked.pk, clock=lambda: house.now)

    assert stored()[1] == 3
    assert files(settings) == []
    requests.expire(at=house.now)
    asked.refresh_from_db()
    assert set(stored()) == {2}
    assert hashlib.sha256(read(asked, zhou, house)).hexdigest() == asked.sha256


@pytest.mark.postgresql
def test_the_lease_is_renewed_while_nothing_is_said(house, asked, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("a second connection needs a server")
    monkeypatch.setattr(making, "BEAT", 0.05)
    verify, found = checking.verify, []

    def lease():
        return Export.objects.get(pk=asked.pk).lease_until

    def slow(path, *, keys):
        house.later(minutes=4)
        until(lambda: lease() == house.now + making.LEASE, "nobody renewed it")
        house.later(minutes=4)
        found.append(making.make(asked.pk, clock=lambda: house.now))
        return verify(path, keys=keys)

    monkeypatch.setattr(checking, "verify", slow)

    assert making.make(asked.pk, clock=lambda: house.now)

    asked.refresh_from_db()
    assert (found, asked.attempts, asked.state) == ([False], 1, STATE.READY)


def test_after_three_attempts_it_is_given_up(house, asked):
    for _ in range(3):
        assert making._Attempt.of(asked.pk, lambda: house.now)
        house.later(minutes=6)

    assert making._Attempt.of(asked.pk, lambda: house.now) is None

    asked.refresh_from_db()
    assert (asked.state, asked.problem) == (STATE.FAILED, "abandoned")
    assert told() == ["export.request", "export.fail"]


def test_the_sweep_finds_what_the_broker_forgot(house, asked, heard):
    tasks.sweep_exports()

    assert heard == [{"export_id": str(asked.pk)}]


WORKER = """
import sys, time, uuid
import django
django.setup()
from django.utils import timezone
from hospital import statements
from hospital.audit.exporting import making, storing
from hospital.audit.models import ExportPart

storing.PART = 1_000
when = sys.argv[2]

def stuck():
    print("stuck", flush=True)
    time.sleep(600)

def progress(self, done, total):
    making._Attempt._save(self, done=done, total=total)
    stuck()

insert = statements.insert

def stored(row):
    insert(row)
    if isinstance(row, ExportPart) and row.place == 2:
        stuck()

if when == "reading":
    making._Attempt._progress = progress
if when == "storing":
    statements.insert = stored
making.make(uuid.UUID(sys.argv[1]), clock=timezone.now)
"""


@pytest.mark.postgresql
@pytest.mark.parametrize("killed", [("reading", {}), ("storing", {1: 2})])
def test_a_worker_that_was_killed_is_replaced(house, asked, zhou, settings, killed):
    if connection.vendor != "postgresql":
        pytest.skip("a process of its own needs a server")
    when, left = killed
    with another_worker(asked, when, EXPORTS_DIR=settings.EXPORTS_DIR) as worker:
        assert worker.stdout.readline() == "stuck\n"
        worker.send_signal(signal.SIGKILL)
    asked.refresh_from_db()
    assert (asked.state, asked.attempts, stored()) == (STATE.RUNNING, 1, left)
    assert not making.make(asked.pk, clock=timezone.now)

    house.now = timezone.now() + making.LEASE + timedelta(seconds=1)
    assert making.make(asked.pk, clock=lambda: house.now)

    asked.refresh_from_db()
    assert (asked.state, asked.attempts, asked.rows) == (STATE.READY, 2, 25)
    assert files(settings) == ([f"{asked.pk}-1.zip"] if left else [])
    house.later(hours=7)
    requests.expire(at=house.now)
    assert (files(settings), set(stored())) == ([], {2})
    assert hashlib.sha256(read(asked, zhou, house)).hexdigest() == asked.sha256


@pytest.mark.postgresql
def test_worker_and_web_share_no_directory(house, asked, zhou, at_desk, settings):
    if connection.vendor != "postgresql":
        pytest.skip("a process of its own needs a server")
    there, here = house.directory / "worker", house.directory / "web"
    here.mkdir()
    settings.VAR_DIR, settings.EXPORTS_DIR = here, here / "exports"

    with another_worker(asked, "never stuck", VAR_DIR=there) as worker:
        assert worker.wait() == 0
    answer = at_desk(zhou).post(reverse("admin:audit_export_download", args=[asked.pk]))

    asked.refresh_from_db()
    content = b"".join(answer.streaming_content)
    assert hashlib.sha256(content).hexdigest() == asked.sha256
    assert list(here.iterdir()) == list((there / "exports").iterdir()) == []
    assert stored() == {}


def another_worker(export, when, **own):
    environment = {
        **{name: value for name, value in os.environ.items() if name != "EXPORTS_DIR"},
        "DJANGO_SETTINGS_MODULE": "hospital.settings",
        "DATABASE_URL": address(),
        "TRAIL_ORIGIN": settings.TRAIL_ORIGIN,
        "TRAIL_VERIFIERS": ",".join(settings.TRAIL_VERIFIERS),
        **{name: str(path) for name, path in own.items()},
    }
    command = [sys.executable, "-c", WORKER, str(export.pk), when]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    )


# Once, and not for long


def test_two_clicks_get_one_file(house, ready, zhou):
    fetched(ready, zhou, house)

    with pytest.raises(requests.NotReady):
        fetched(ready, zhou, house)
    assert told().count("export.download") == 1


@pytest.mark.postgresql
def test_of_many_clicks_at_once_one_gets_the_file(house, ready, zhou):
    if connection.vendor != "postgresql":
        pytest.skip("several connections need a server")
    got, start = [], threading.Barrier(8)

    def click():
        start.wait()
        try:
            fetched(ready, zhou, house).close()
            got.append(True)
        except (requests.NotReady, sending.Lost) as exc:
            got.append(type(exc))
        finally:
            connection.close()

    clicks = [threading.Thread(target=click) for _ in range(8)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()

    assert got.count(True) == 1
    assert told().count("export.download") == 1


def test_after_a_day_it_is_gone(house, ready, zhou, settings):
    house.later(hours=24)

    with pytest.raises(requests.NotReady):
        fetched(ready, zhou, house)
    requests.expire(at=house.now)
    requests.expire(at=house.now)

    ready.refresh_from_db()
    assert ready.state == STATE.EXPIRED
    assert stored() == {}
    assert told()[2:] == ["export.expire"]


def test_without_its_event_it_does_not_expire(house, ready, monkeypatch):
    def fails(*_args, **_how):
        raise ConnectionError

    monkeypatch.setattr(requests, "record", fails)
    with pytest.raises(ConnectionError):
        requests.expire(at=house.now + timedelta(hours=24))

    ready.refresh_from_db()
    assert (ready.state, stored()) == (STATE.READY, {1: 1})


def test_a_sweep_that_was_stopped_is_gone_on_with(house, asked, monkeypatch):
    """As of a copy so large that removing it takes longer than a task has."""
    monkeypatch.setattr(storing, "PART", 1_000)
    monkeypatch.setattr(storing, "_AT_ONCE", 5)
    made(asked, house)
    house.later(hours=24)
    before, delete = stored()[1], QuerySet.delete

    def stopped(rows):
        if stored()[1] < before:
            raise ConnectionError
        return delete(rows)

    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, "delete", stopped)
        with pytest.raises(ConnectionError):
            requests.expire(at=house.now)

    asked.refresh_from_db()
    assert (asked.state, stored()) == (STATE.EXPIRED, {1: before - 5})
    requests.expire(at=house.now)
    assert stored() == {}


def test_what_is_left_lying_goes_and_what_is_not_ours_stays(house, settings):
    settings.EXPORTS_DIR.mkdir()
    ready = Export(pk=uuid7())
    stray = settings.EXPORTS_DIR / f"{ready.pk}-9.zip"
    unfinished = settings.EXPORTS_DIR / f".{ready.pk}-8.zip.new.proof.jsonl"
    scratch = settings.EXPORTS_DIR / f".{ready.pk}-8.zip.new.scratch"
    scratch.mkdir()
    foreign = [settings.EXPORTS_DIR / name for name in ("notes.txt", "tmpabcdefgh")]
    for path in (stray, unfinished, scratch / "tmp", *foreign):
        path.write_text("…")
    (settings.EXPORTS_DIR / f"{ready.pk}-7.zip").mkdir()

    requests.expire(at=house.now + timedelta(hours=1))
    assert len(files(settings)) == 6
    requests.expire(at=house.now + timedelta(hours=7))

    assert files(settings) == sorted([f"{ready.pk}-7.zip", "notes.txt", "tmpabcdefgh"])


def test_what_is_not_there_is_neither_fetched_nor_waiting_any_more(house, ready, zhou):
    """As after a restore: parts are in no backup."""
    ExportPart.objects.all().delete()

    with pytest.raises(sending.Lost):
        fetched(ready, zhou, house)

    ready.refresh_from_db()
    assert (ready.state, ready.problem) == (STATE.FAILED, "lost")
    assert told()[-1] == "export.fail"
    assert ready.problem in making.PROBLEMS
    with pytest.raises(requests.NotReady):
        fetched(ready, zhou, house)


def swap(place, content):
    ExportPart.objects.filter(place=place).update(content=content)


def cut(place):
    ExportPart.objects.filter(place__gte=place).delete()


def append(place, content):
    last = ExportPart.objects.order_by("place").last()
    ExportPart.objects.create(
        export=last.export, attempt=last.attempt, place=place, content=content
    )


@pytest.mark.parametrize(
    "done",
    [
        lambda: swap(0, b"another"),
        lambda: swap(3, b"another"),
        lambda: cut(3),
        lambda: append(ExportPart.objects.count(), b"more"),
    ],
)
def test_what_was_swapped_is_not_handed_out(house, asked, zhou, monkeypatch, done):
    monkeypatch.setattr(storing, "PART", 1_000)
    made(asked, house)
    done()

    with pytest.raises(sending.Lost):
        fetched(asked, zhou, house)

    asked.refresh_from_db()
    assert asked.state == STATE.FAILED
    assert "export.download" not in told()


def test_what_is_swapped_while_it_is_sent_breaks_off(house, asked, zhou, monkeypatch):
    monkeypatch.setattr(storing, "PART", 1_000)
    made(asked, house)
    pieces = iter(fetched(asked, zhou, house))
    next(pieces)
    swap(1, b"another")

    with pytest.raises(sending.Lost):
        next(pieces)


def test_what_cannot_be_removed_is_handed_out_all_the_same(house, ready, zhou, monkeypatch):
    def refuse(_export):
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(storing, "remove", refuse)
        assert hashlib.sha256(read(ready, zhou, house)).hexdigest() == ready.sha256

    requests.expire(at=house.now)
    assert stored() == {1: 1}  # for all anybody knows it is being sent
    requests.expire(at=house.now + sending.LEASE)
    assert stored() == {}


def test_a_slow_reader_gets_all_of_it(house, asked, zhou, monkeypatch):
    monkeypatch.setattr(storing, "PART", 1_000)
    made(asked, house)
    got = bytearray()

    with closing(fetched(asked, zhou, house)) as pieces:
        for piece in pieces:
            got += piece
            house.later(minutes=2)
            requests.expire(at=house.now)

    assert hashlib.sha256(got).hexdigest() == asked.sha256
    assert stored() == {}


@pytest.mark.postgresql
def test_a_slow_reader_keeps_no_connection_from_others(house, asked, zhou, monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has nothing to give back")
    monkeypatch.setattr(storing, "PART", 1_000)
    made(asked, house)

    with closing(fetched(asked, zhou, house)) as pieces:
        for _ in pieces:
            assert connection.connection is None
            house.later(minutes=3)  # long enough for the lease to be renewed each time


def test_who_stops_reading_loses_what_is_left(house, asked, zhou, monkeypatch):
    """As where the web that sent it was killed."""
    monkeypatch.setattr(storing, "PART", 1_000)
    made(asked, house)
    pieces = iter(fetched(asked, zhou, house))
    next(pieces)
    house.later(minutes=4)
    requests.expire(at=house.now)
    assert stored()

    house.later(minutes=1)
    requests.expire(at=house.now)

    assert stored() == {}
    with pytest.raises(sending.Lost):
        next(pieces)


# The pages


@pytest.fixture
def at_desk(client):
    def sit(person, *, is_fresh=True):
        client.force_login(person)
        if is_fresh:
            signing_in.step_up(client, person)
        return client

    return sit


FORM = {"kind": "places", "first": "0", "last": "24", "purpose": "review", "reason": REASON}
ADD, LIST = "admin:audit_export_add", "admin:audit_export_changelist"


def test_an_auditor_asks_and_fetches(house, zhou, at_desk, heard, settings):
    client = at_desk(zhou)

    answer = client.post(reverse(ADD), {**FORM, "ask": "1"}, follow=True)
    export = Export.objects.get()
    assert heard == [{"export_id": str(export.pk)}]
    assert "已申请" in answer.content.decode()
    tasks.export(export_id=str(export.pk))
    page = client.get(reverse("admin:audit_export_change", args=[export.pk])).content.decode()
    assert "能证明：区间内每一条都在" in page
    answer = client.post(reverse("admin:audit_export_download", args=[export.pk]))

    content = b"".join(answer.streaming_content)
    assert "no-store" in answer["Cache-Control"]
    assert answer["Content-Disposition"] == f'attachment; filename="trail-{export.pk}.zip"'
    export.refresh_from_db()
    assert len(content) == export.size == int(answer["Content-Length"])
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None
    again = client.post(reverse("admin:audit_export_download", args=[export.pk]), follow=True)
    assert "已被下载" in again.content.decode()


def test_the_number_of_events_is_shown_before_anything_is_asked_for(house, zhou, at_desk):
    page = at_desk(zhou).post(reverse(ADD), {**FORM, "last": "9", "count": "1"}).content.decode()

    assert "预计：序号 0 至 9，共 10 条" in page
    assert not Export.objects.exists()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"last": "99"}, "没有已签名的留痕"),
        ({"last": ""}, "请填起始序号和终止序号"),
        ({"first": "9", "last": "3"}, "起始序号不能大于终止序号"),
        ({"action": "auth.login"}, "这种范围不看“行为”：请清空，或改选范围"),
        ({"kind": "filtered", "action": "auth.login"}, "不看“起始序号”、“终止序号（含）”"),
        ({"kind": "filtered", "first": "", "last": ""}, "请至少填写一个条件"),
        (
            {
                "kind": "time",
                "first": "",
                "last": "",
                "since": "2026-11-20T09:00",
                "until": "2026-11-20T08:00",
            },
            "开始时间须早于结束时间",
        ),
        ({"reason": ""}, "必填"),
    ],
)
def test_a_request_that_makes_no_sense_is_shown_again(house, zhou, at_desk, changed, said):
    page = at_desk(zhou).post(reverse(ADD), {**FORM, **changed, "ask": "1"}).content.decode()

    assert said in page
    assert not Export.objects.exists()


def test_picked_lines_are_asked_for_by_staff_number(house, zhou, at_desk):
    filters = {"kind": "filtered", "actor": "zhou", "action": "auth.step_up", "ask": "1"}
    no_places = {"first": "", "last": ""}

    at_desk(zhou).post(reverse(ADD), {**FORM, **no_places, **filters})

    export = Export.objects.get()
    assert export.filters == {"actor": str(zhou.pk), "action": "auth.step_up"}
    request = Event.objects.get(action="export.request").payload
    assert '"filters":["action","actor"]' in request


def digest_of(path, kind):
    """As README.txt has its reader do."""
    said = subprocess.run(
        ["openssl", "dgst", kind, path], capture_output=True, text=True, check=True
    )
    return said.stdout.split()[-1]


def rezipped(path, target, **changes):
    """Zip a copy anew, with another manifest."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "manifest.json":
                content = json.dumps({**json.loads(content), **changes}).encode()
            new.writestr(name, content)
    return target


def test_whoever_holds_a_copy_can_have_it_compared_when_the_file_is_gone(
    ready, zhou, at_desk, tmp_path, settings
):
    client, copy = at_desk(zhou), tmp_path / "copy.zip"
    handed = client.post(reverse("admin:audit_export_download", args=[ready.pk]))
    copy.write_bytes(b"".join(handed.streaming_content))
    with zipfile.ZipFile(copy) as zipped:
        number = json.loads(zipped.read("manifest.json"))["export"]

    page = client.get(reverse("admin:audit_export_change", args=[number])).content.decode()
    complete = Event.objects.get(action="export.complete", object_id=number)
    stated = json.loads(complete.payload)["facts"]

    for kind in ("sha256", "sm3"):
        assert stated[kind] == digest_of(copy, f"-{kind}")
        assert stated[kind] in page
    # Who asked and for what can be rewritten, as the README says, and then it is another file.
    other = rezipped(copy, tmp_path / "other.zip", purpose="inspection")
    assert "一条不少" in checking.verify(other, keys=settings.TRAIL_VERIFIERS[:1])
    assert digest_of(other, "-sha256") != stated["sha256"]


@pytest.mark.parametrize("name", ["lin", "mei", "chen", "gu"])
def test_nobody_else_asks_or_fetches(request, house, ready, at_desk, name):
    client = at_desk(request.getfixturevalue(name))

    answers = [
        client.get(reverse(ADD)),
        client.post(reverse(ADD), {**FORM, "ask": "1"}),
        client.post(reverse("admin:audit_export_download", args=[ready.pk])),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert told() == ["export.request", "export.complete"]


@pytest.mark.parametrize("who", [("lin", 403), ("chen", 403), ("gu", 403), ("mei", 200)])
def test_who_sees_the_list(request, ready, at_desk, who):
    name, status = who
    client = at_desk(request.getfixturevalue(name))

    pages = [reverse(LIST), reverse("admin:audit_export_change", args=[ready.pk])]

    assert [client.get(page).status_code for page in pages] == [status, status]


def test_an_auditor_sees_anothers_export_and_cannot_fetch_it(house, ready, at_desk):
    other = Staff.objects.create_user(
        "wu", PASSWORD, display_name="wu", person_id="E-wu", role=Role.AUDITOR
    )
    client = at_desk(other)

    page = client.get(reverse("admin:audit_export_change", args=[ready.pk]))
    answer = client.post(reverse("admin:audit_export_download", args=[ready.pk]))

    assert (page.status_code, answer.status_code) == (200, 403)
    assert 'value="下载"' not in page.content.decode()
    assert set(stored()) == {1}


def test_a_link_alone_fetches_nothing(house, ready, zhou, at_desk):
    answer = at_desk(zhou).get(reverse("admin:audit_export_download", args=[ready.pk]))

    assert answer.status_code == 302
    ready.refresh_from_db()
    assert ready.state == STATE.READY


def test_asking_and_fetching_want_to_know_who_is_there(house, ready, zhou, at_desk):
    client = at_desk(zhou, is_fresh=False)

    answers = [
        client.get(reverse(ADD)),
        client.post(reverse(ADD), {**FORM, "ask": "1"}),
        client.post(reverse("admin:audit_export_download", args=[ready.pk])),
    ]

    assert all(answer["Location"].startswith(reverse("step-up")) for answer in answers)
    assert told() == ["export.request", "export.complete"]


def test_the_security_administrator_is_told_until_they_have_seen_it(house, ready, mei, at_desk):
    client = at_desk(mei)
    assert "有 1 次留痕导出未阅" in client.get(reverse("admin:index")).content.decode()

    assert f'name="shown" value="{ready.pk}:ready"' in client.get(reverse(LIST)).content.decode()
    for _ in range(2):
        client.post(reverse("admin:audit_export_seen"), {"shown": f"{ready.pk}:ready"})

    assert "未阅" not in client.get(reverse("admin:index")).content.decode()
    assert told()[2:] == ["export.see"]


def test_what_came_after_the_page_was_shown_is_not_marked_as_seen(house, ready, zhou, mei, at_desk):
    later = ask(zhou, house)

    client = at_desk(mei)
    client.post(reverse("admin:audit_export_seen"), {"shown": f"{ready.pk}:ready"})

    assert list(requests.unseen()) == [later]
    assert client.post(reverse("admin:audit_export_seen"), {"shown": "x"}).status_code == 400


def seen(export, mei):
    """Mark it as the security administrator does who is shown it now."""
    export.refresh_from_db()
    shown = {export.pk: requests.step(export)}
    assert requests.see(by=mei, at=timezone.now(), shown=shown) == 1
    assert not requests.unseen().exists()


def banner_of(client):
    return "有 1 次留痕导出未阅" in client.get(reverse("admin:index")).content.decode()


def test_each_later_step_of_an_export_is_told_as_well(house, zhou, mei, at_desk):
    client = at_desk(mei)
    export = ask(zhou, house)
    seen(export, mei)
    assert not banner_of(client)

    made(export, house)
    assert banner_of(client)
    seen(export, mei)
    fetched(export, zhou, house).close()

    assert banner_of(client)
    seen(export, mei)
    assert told() == ["export.request", "export.see", "export.complete", "export.see",
                      "export.download", "export.see"]  # fmt: skip


def test_that_a_copy_expired_is_told_as_well(house, ready, mei, at_desk):
    seen(ready, mei)

    requests.expire(at=house.now + timedelta(days=2))

    assert banner_of(at_desk(mei))


def test_that_a_copy_could_not_be_made_is_told_as_well(house, zhou, mei, at_desk, settings):
    export = ask(zhou, house)
    seen(export, mei)
    settings.TRAIL_VERIFIERS = settings.TRAIL_VERIFIERS[1:]  # the log's is not among them

    made(export, house)

    assert banner_of(at_desk(mei))


def test_a_step_that_came_after_the_page_was_shown_is_not_marked_as_seen(house, zhou, mei, at_desk):
    export = ask(zhou, house)
    client = at_desk(mei)
    assert f'value="{export.pk}:queued"' in client.get(reverse(LIST)).content.decode()
    made(export, house)

    client.post(reverse("admin:audit_export_seen"), {"shown": f"{export.pk}:queued"})

    assert list(requests.unseen()) == [export]


def test_an_auditor_does_not_mark_exports_as_seen(house, ready, zhou, at_desk):
    assert at_desk(zhou).post(reverse("admin:audit_export_seen")).status_code == 403


# The command


def test_an_operator_exports_and_is_on_record(house, tmp_path, capsys, settings):
    target = tmp_path / "out.zip"

    call_command("exportaudit", "--start=0", "--end=24", *COMMON, f"--output={target}")

    assert "25 条写入" in capsys.readouterr().out
    assert "一条不少" in checking.verify(target, keys=settings.TRAIL_VERIFIERS[:1])
    assert target.stat().st_mode & 0o777 == 0o600
    assert told() == ["export.request", "export.complete", "export.download"]
    assert Export.objects.get().requested_by == requests.OPERATOR
    assert files(settings) == []


def test_an_operator_picks_lines_and_stretches_of_time(house, tmp_path, capsys):
    picked, hour = tmp_path / "picked.zip", tmp_path / "hour.zip"
    since = (house.now - timedelta(hours=1)).isoformat()

    call_command("exportaudit", "--action=session.expire", *COMMON, f"--output={picked}")
    call_command("exportaudit", f"--from={since}", *COMMON, f"--output={hour}")

    assert capsys.readouterr().out.count("25 条写入") == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--start=0"], "一起写"),
        (["--start=0", "--end=99"], "没有已签名的留痕"),
        (["--start=9", "--end=3"], "起始序号不能大于终止序号"),
        (["--action=nothing.such"], "没有符合条件的留痕"),
        (["--actor=a\0b"], "--actor 含有不可见字符"),
        (["--from=2026-13-45"], "时间格式不对"),
        (["--to=9999-12-31"], "时间格式不对"),
        (["--from=2026-11-20", "--to=2026-11-19"], "开始时间须早于结束时间"),
        (["--to=2001-01-01"], "没有已签名的留痕"),
    ],
)
def test_an_operator_is_told_what_does_not_go(house, tmp_path, options, said):
    target = tmp_path / "out" / "x.zip"
    target.parent.mkdir()

    with pytest.raises(CommandError, match=said):
        call_command("exportaudit", *options, *COMMON, f"--output={target}")

    assert list(target.parent.iterdir()) == []


def test_where_an_operator_cannot_write_nothing_is_asked_for(house, tmp_path):
    with pytest.raises(CommandError, match="无法写入"):
        call_command(
            "exportaudit", "--start=0", "--end=3", *COMMON, f"--output={tmp_path / 'no' / 'x.zip'}"
        )

    assert told() == []


def test_half_a_file_is_not_left_with_an_operator(house, tmp_path, monkeypatch):
    target = tmp_path / "out" / "x.zip"
    target.parent.mkdir()
    take = requests.take

    def lost_midway(*args, **how):
        pieces = take(*args, **how)
        cut(1)
        return pieces

    monkeypatch.setattr(storing, "PART", 1_000)
    monkeypatch.setattr(requests, "take", lost_midway)

    with pytest.raises(CommandError, match="不在了，或被换过"):
        call_command("exportaudit", "--start=0", "--end=3", *COMMON, f"--output={target}")

    assert list(target.parent.iterdir()) == []


COMMON = ["--purpose=inspection", "--reason=监管检查"]
