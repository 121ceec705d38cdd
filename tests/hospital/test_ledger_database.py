"""The ledger of erasures in a database of its own: for several hosts, which share no disk."""

import socket
import threading
import time
from contextlib import closing, suppress
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from hospital.patients.enrolment import Person
from hospital.privacy.erasing import ledger, ledger_table, replaying, running, standing
from hospital.privacy.erasing.ledger import BEGIN, Broken, Lost
from hospital.privacy.erasing.ledger_file import File
from hospital.privacy.erasing.routing import DATABASE, LedgerTable
from hospital.privacy.models import Erasure, LedgerMark
from tests import ledgers
from tests.hospital.test_erasing import cold, decided, erase, nobody_waits, onboard, patient
from tests.hospital.test_erasure_ledger import KEY, entry, written

__all__ = ["nobody_waits", "patient"]

pytestmark = pytest.mark.django_db  # before a database is there that Django's tests know nothing of
PATIENCE = 5  # seconds
committed = pytest.mark.django_db(transaction=True)
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.postgresql)


@pytest.fixture(params=["sqlite", POSTGRESQL])
def table(request, tmp_path):
    with ledgers.on(request.param, tmp_path) as table:
        yield table


def lines():
    return ledger.read(standing.store(), key=standing.key())


# The table


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE erasure_ledger SET line = '{}' WHERE place = 1",
        "UPDATE erasure_ledger SET place = 9 WHERE false",
        "DELETE FROM erasure_ledger WHERE place = 2",
        "TRUNCATE erasure_ledger",
        "SET session_replication_role = replica; DELETE FROM erasure_ledger",
    ],
)
@pytest.mark.parametrize("table", [POSTGRESQL], indirect=True)
def test_nobody_changes_or_removes_a_row(table, statement):
    three = written(table, 1, 2, 3)

    with (
        pytest.raises(DatabaseError, match="append-only"),
        connections[DATABASE].cursor() as cursor,
    ):
        cursor.execute(statement)

    assert ledger.read(table.store, key=KEY) == three


@pytest.mark.parametrize(
    "left", [{1: 0, 3: 2}, {2: 1, 3: 2}, {1: 0, 2: 1, 9: 2}], ids=["second", "first", "place"]
)
def test_a_row_that_is_missing_or_at_another_place_is_found(table, left):
    written(table, 1, 2, 3)
    text = table.lines()
    table.place({place: text[number] for place, number in left.items()})

    with pytest.raises(Broken):
        ledger.read(table.store, key=KEY)


def test_where_the_marks_own_row_is_gone_nothing_behind_it_is_believed(table):
    three = written(table, 1, 2, 3)
    text = table.lines()

    table.place({1: text[0], 3: text[2]})
    with pytest.raises(Broken):
        ledger.read(table.store, key=KEY, after=three[1].mark)
    table.place({1: text[0]})
    with pytest.raises(Lost):
        ledger.read(table.store, key=KEY, after=three[1].mark)


def test_what_is_known_is_not_read_again(table):
    three = written(table, 1, 2, 3)
    rest = table.lines()[1:]
    table.write([b"{}\n", *rest])

    assert ledger.read(table.store, key=KEY, after=three[1].mark) == three[2:]
    with pytest.raises(Broken):
        ledger.read(table.store, key=KEY)


def test_of_two_who_write_the_same_line_one_does(table):
    three = written(table, 1, 2, 3)

    with pytest.raises(FileExistsError):
        ledger.append(table.store, entry(4), key=KEY, after=three[1].mark)

    assert ledger.read(table.store, key=KEY) == three


def test_a_line_stays_though_who_wrote_it_is_rolled_back(table):
    with suppress(InterruptedError), transaction.atomic():
        [line] = written(table, 1)
        raise InterruptedError

    assert ledger.read(table.store, key=KEY) == [line]


@pytest.mark.parametrize("table", [POSTGRESQL], indirect=True)
def test_a_line_is_on_disk_when_it_is_said_to_be(table, monkeypatch):
    def asked(cursor, place, line):
        cursor.execute("SHOW synchronous_commit")
        said.extend(cursor.fetchone())
        return insert(cursor, place, line)

    said, insert = [], ledger_table._insert
    monkeypatch.setattr(ledger_table, "_insert", asked)
    monkeypatch.setitem(
        connections[DATABASE].settings_dict["OPTIONS"], "options", "-c synchronous_commit=off"
    )

    written(table, 1)

    assert said == ["on"]


def test_no_connection_is_kept(table):
    written(table, 1)

    assert connections[DATABASE].connection is None
    ledger.read(table.store, key=KEY)
    assert connections[DATABASE].connection is None


def test_nothing_else_is_on_its_database():
    router = LedgerTable()

    assert router.allow_migrate(DATABASE, "privacy", table="erasure_ledger") is True
    assert router.allow_migrate(DATABASE, "privacy", model_name="erasure") is False
    assert router.allow_migrate("default", "privacy", model_name="erasure") is None


# Who is served


def test_who_is_erased_is_in_it_before_any_key_is_gone(table, patient, settings):
    erase(patient)

    [line] = lines()
    assert line.entry.subject == patient.pk
    assert LedgerMark.objects.get().digest == line.mark.digest
    assert not settings.ERASURE_LEDGER.exists()
    standing.demand_replayed(thorough=True)


def test_without_an_answer_no_step_is_taken(table, patient, away):
    erasure = decided(patient)
    with away(), pytest.raises(standing.LedgerUnreadable):
        running.advance(erasure.pk, at=timezone.now())
    now = timezone.now()
    running.step(erasure, at=now)
    erasure.refresh_from_db()

    with away(while_writing=True), pytest.raises(OSError, match="删除台账的数据库"):
        running.write_down(erasure, at=now)

    erasure.refresh_from_db()
    assert (erasure.state, erasure.ledger_place) == ("begun", None)
    running.advance(erasure.pk, at=now)
    assert len(lines()) == 1


@pytest.fixture
def away(table, monkeypatch):
    """Return what makes its server go away for a while."""

    class Away:
        def __init__(self, *, while_writing=False):
            self.patch, self.while_writing = pytest.MonkeyPatch(), while_writing

        def __enter__(self):
            if self.while_writing:
                self.patch.setattr(ledger_table, "_INSERT", "INSERT INTO nowhere VALUES (%s, %s)")
            else:
                known = connections[DATABASE].settings_dict
                self.patch.setitem(known, "NAME", "/nowhere/at/all")

        def __exit__(self, *_):
            self.patch.undo()

    return Away


@committed
def test_while_it_is_away_nobody_is_served_and_then_everybody_is(table, patient, client, away):
    erase(patient)
    standing.forget()
    assert client.get("/readyz").status_code == 200

    with away():
        standing.forget()
        answer = client.get("/api/v1/notice/")
        assert (answer.status_code, answer.json()["code"]) == (503, "erasures_ledger_unreadable")
        assert client.get("/admin/login/").status_code == 503
        assert client.get("/readyz").json()["failed"] == ["ledger_database", "erasures"]

    standing.forget()  # as fifteen seconds do
    assert client.get("/readyz").status_code == 200
    assert client.get("/admin/login/").status_code == 200


def test_a_server_that_takes_connections_and_says_nothing_is_away():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgres://127.0.0.1:{silent.getsockname()[1]}/ledger"
        with ledgers.database(url, is_there=False):
            began = time.monotonic()
            with pytest.raises(standing.LedgerUnreadable):
                standing.demand_replayed()

    assert time.monotonic() - began < PATIENCE


def test_a_database_without_its_table_is_none(table, patient):
    with connections[DATABASE].cursor() as cursor:
        cursor.execute("DROP TABLE erasure_ledger")

    with pytest.raises(standing.LedgerUnreadable):
        standing.demand_replayed()


def test_a_tail_that_is_cut_off_and_a_row_that_is_forged_are_told(table, patient):
    erase(patient)
    whole = table.lines()

    table.write([])
    with pytest.raises(standing.LedgerLost):
        standing.demand_replayed()
    table.write([one.replace(str(patient.pk).encode(), b"0" * 36) for one in whole])
    with pytest.raises(standing.LedgerForged):
        standing.demand_replayed(thorough=True)
    table.write(whole)
    standing.demand_replayed(thorough=True)


def test_a_row_this_database_knows_nothing_of_stops_everything_until_it_is_replayed(table, patient):
    erase(patient)
    back = onboard()
    [line] = lines()
    Erasure.objects.all().delete()
    LedgerMark.objects.all().delete()
    table.write([])
    again = type(line.entry)(line.entry.erasure, back.pk, (back.pk,), line.entry.at)
    ledger.append(table.store, again, key=standing.key(), after=BEGIN)

    with pytest.raises(standing.Unreplayed):
        standing.demand_replayed()
    [done] = replaying.replay(verify=cold, at=timezone.now())

    assert done.entry.subject == back.pk
    standing.demand_replayed(thorough=True)


def test_each_question_reads_what_it_does_not_know(table, patient):
    erase(patient)
    with CaptureQueriesContext(connections[DATABASE]) as asked:
        standing.demand_replayed()

    [one] = [query["sql"] for query in asked if "erasure_ledger" in query["sql"]]
    assert one.endswith("WHERE place >= 1 ORDER BY place")
    assert len(ledger.read(table.store, key=standing.key(), after=standing.mark())) == 0


# While others work


@pytest.mark.parametrize("is_thorough", [False, True])
def test_an_erasure_between_two_questions_is_no_alarm(patient, monkeypatch, is_thorough):
    """The mark is read, or the lines are, and then somebody is erased."""
    read, mark, erased = standing.lines, standing.mark, []

    def first(works):
        def instead(**how):
            found = works(**how)
            if not erased:
                erased.append(patient.pk)
                erase(patient)
            return found

        return instead

    name = "lines" if is_thorough else "mark"
    monkeypatch.setattr(standing, name, first(read if is_thorough else mark))

    standing.demand_replayed(thorough=is_thorough)

    assert erased


@pytest.mark.postgresql
@pytest.mark.parametrize("table", [POSTGRESQL], indirect=True)
def test_who_locks_the_table_makes_nobody_wait_for_long(table):
    written(table, 1)

    with closing(connections[DATABASE].copy()) as other, other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE erasure_ledger IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(OSError, match="没有应答或拒绝"):
            table.store.behind(BEGIN)

    assert time.monotonic() - began < PATIENCE + 5  # and not until they are done


def test_of_many_threads_one_asks(monkeypatch):
    asked, together = [], threading.Barrier(8)

    def slow():
        asked.append(1)
        threading.Event().wait(0.2)

    def ask():
        together.wait()
        standing.refusal()

    monkeypatch.setattr(standing, "_asked", slow)
    standing.forget()
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert asked == [1]


# From the file


def moved(*how):
    out = StringIO()
    call_command("moveledger", *how, stdout=out)
    return out.getvalue()


@pytest.fixture
def two():
    """Two were erased on one host, with the ledger in a file."""
    for name, document in (("张三", "11010119900307002X"), ("李四", "110101199003070046")):
        erase(onboard(Person(name, 1, document), openid=f"o{document:z>27}"))
    return lines()


@pytest.fixture
def then(two, table):
    """Then came the other host."""
    return table


def test_the_file_is_moved_line_by_line_and_the_ledger_goes_on(two, then, settings):
    with pytest.raises(standing.LedgerLost):
        standing.demand_replayed()

    assert "搬入 2 行" in moved()

    standing.demand_replayed(thorough=True)
    assert lines() == two
    assert ledger.read(File(settings.ERASURE_LEDGER), key=standing.key()) == two
    erase(onboard())
    assert [line.mark.place for line in lines()] == [1, 2, 3]


def test_moved_again_nothing_is_added(two, then):
    moved()
    assert "搬入 0 行" in moved()
    erase(onboard())

    assert "搬入 0 行" in moved()
    assert len(lines()) == 3


def test_what_was_moved_in_part_is_moved_to_its_end(two, then, monkeypatch):
    add, left = ledger_table.Table.add, [1]

    def killed(self, text, *, after):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        add(self, text, after=after)

    with monkeypatch.context() as patch:
        patch.setattr(ledger_table.Table, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            moved()
    with pytest.raises(standing.LedgerLost):
        standing.demand_replayed()

    assert "搬入 1 行" in moved()
    assert lines() == two


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda text: text[:1], "台账缺失"),
        (lambda text: text[:0], "台账缺失"),
        (lambda text: [text[0].replace(b"2026", b"2025"), text[1]], "对不上"),
        (lambda text: text[1:], "对不上"),
    ],
    ids=["older", "empty", "changed", "without the first"],
)
def test_a_file_that_is_not_whole_is_not_moved(two, then, settings, harm, said):
    file = ledgers.Filed(File(settings.ERASURE_LEDGER))
    file.write(harm(file.lines()))

    with pytest.raises(CommandError, match=said):
        moved()

    assert then.lines() == []


def test_a_file_that_tells_another_story_is_not_moved(two, then):
    other = ledger.append(then.store, entry(7), key=standing.key(), after=BEGIN)

    with pytest.raises(CommandError, match="对不上"):
        moved()

    assert lines() == [other]


def test_without_a_database_for_it_nothing_is_moved():
    with pytest.raises(CommandError, match="没有设置 LEDGER_DATABASE_URL"):
        moved()


def test_one_that_is_away_is_told(two, then, away):
    with away(), pytest.raises(CommandError, match="没有应答"):
        moved()


def test_for_the_release_before_it_goes_back_into_the_file(two, then, settings):
    moved()
    erase(onboard())
    whole = lines()

    assert "搬入 1 行" in moved("--back")

    assert ledger.read(File(settings.ERASURE_LEDGER), key=standing.key()) == whole
    assert "搬入 0 行" in moved("--back")
