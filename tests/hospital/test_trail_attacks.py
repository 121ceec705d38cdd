"""
The attacks and failures a trail has to survive: each number of the list, and where it is shown.

What is not shown elsewhere is below. `TABLE` is read by tests: it names nothing that is not there,
and nothing that is not run on PostgreSQL, but for what is of code alone and has no database at all.
"""

import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction
from django.utils import timezone
from uuid6 import uuid7

from hospital.audit import canonical, log
from hospital.audit.actions import Action
from hospital.audit.merkle import leaf_hash
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, mac, record
from tests.hospital.notarised import BOTH, House, tamper

# Number → what it is; file: test, where it is shown.
TABLE = """
L1  the end cut off, with its checkpoints
    test_verification: a_cut_end_is_found_with_an_anchor_and_only_with_one
    test_notary: the_last_lines_removed_with_all_that_spoke_of_them_stop_it
    test_notary: history_rewritten_down_to_the_mark_is_refused_by_the_witness
L2  a line rewritten, with whatever follows from it
    test_verification: a_rewritten_line_is_found
    test_verification: a_rewritten_line_with_its_leaf_is_found
    test_verification: a_history_rewritten_in_full_lacks_the_signature
    test_verification: a_history_rewritten_by_who_has_the_logs_key_is_another_than_the_anchor
L3  the columns people see say something else
    test_recording: a_column_cannot_be_written_apart_from_the_line
    test_verification: columns_that_are_no_longer_generated_are_found
L4  a session that says it is a replica's
    test_guards: a_replicas_session_is_refused_as_well
    test_verification: a_guard_that_was_switched_off_is_found
L5  the application owns the tables
    test_grants: the_applications_role_may_not
    test_grants: whoever_owns_the_tables_is_told_at_level_3
L6  INSERT OR REPLACE
    test_guards: no_event_is_replaced_by_inserting_another
L7  update(), bulk, plain SQL
    test_completeness: a_change_without_an_event_does_not_go_unnoticed
L8  an event of what failed; what was done without its event
    test_recording: it_goes_with_what_it_records
    test_undone: a_change_that_cannot_be_recorded_is_not_made
L9  denials and failures that vanish with the rollback
    test_doors: a_door_that_is_not_theirs_is_on_record
    test_undone: what_was_recorded_and_undone_is_on_record
L10 committed in another order than begun
    test_trail_attacks: whoever_commits_late_with_a_small_number_is_sealed
    test_notary: an_event_committed_late_with_a_small_id_is_found
L11 a transaction left open in any database of the server
    test_trail_attacks: a_transaction_left_open_holds_nothing_up
L12 two heads of a chain
    test_trail_attacks: nobody_waits_for_another_who_records
L13 a lock held through a request
    test_trail_attacks: nobody_waits_for_another_who_records
L14 an old event again
    test_trail_attacks: an_old_event_is_not_taken_again
    test_guards: nor_under_a_number_its_text_does_not_state
    test_verification: an_old_event_under_a_new_number_is_found
L15 an event by who has no key
    test_verification: an_event_of_who_has_no_key_is_found_though_it_is_sealed
    test_notary: an_event_with_a_wrong_code_is_sealed_and_found
L16 removed before it was sealed
    test_verification: an_event_removed_before_it_was_sealed_is_found
    test_notary: an_event_removed_before_it_was_sealed_leaves_a_tombstone
L17 hidden from the notary
    test_verification: an_event_hidden_from_the_notary_is_found
L18 the log's key stolen, a second history
    test_witness: another_history_is_refused_even_with_its_own_proof (code alone)
    test_verification: without_the_witness_a_stolen_key_signs_in_vain
L19 an old backup
    test_verification: a_restored_backup_is_refused_by_the_notary_and_found_with_an_anchor
    test_notary: a_new_name_begins_a_new_log_which_says_what_the_old_one_was
L20 killed between two steps
    test_notary_killed: it_is_killed_when
    test_notary_killed: killed_between_the_witness_signature_and_storing_it_it_goes_on
    test_notary_killed: of_two_the_second_goes_on_when_the_first_is_killed
L21 clocks set back, or ahead
    test_verification: an_event_of_another_time_is_found
L22 somebody is to be forgotten
    test_commitments: a_salt_goes_and_every_proof_stays
    test_erasing: every_proof_holds_that_was_given_before_and_the_whole_trail_after
L23 a digest that can be guessed
    test_commitments: the_same_value_twice_is_two_digests
L24 NUL and half a character in a reason
    test_recording: hostile_text_neither_blocks_the_act_nor_breaks_the_line
    test_recording: whatever_is_typed_becomes_one_canonical_line_that_the_columns_agree_with
L25 formulas in a spreadsheet
    test_bundle: what_somebody_typed_is_no_formula
L26 a filtered export passed off as all there is
    test_bundle: picked_lines_are_genuine_and_no_more
    test_bundle: picked_lines_presented_as_complete_are_noticed
    test_bundle: one_dropped_row_breaks_a_range
L27 an address in a header
    test_trail_attacks: an_address_somebody_claims_is_not_believed
L28 a proof that proves too little
    test_merkle: every_tree_is_shown_to_continue_every_earlier_one (code alone)
    test_merkle: pymerkle_agrees (code alone)
L29 the network in the way of a request
    test_trail_attacks: recording_needs_no_network
    test_forwarding: an_outage_leaves_no_gap
L30 made canonical again to be verified
    test_trail_attacks: what_is_hashed_is_what_is_stored
L31 deleting somebody deletes what they did
    test_trail_attacks: nothing_in_the_trail_hangs_on_another_row
L32 the application server taken over
    test_trail_attacks: who_has_the_applications_key_can_lie_but_not_unsay
"""
HERE = Path(__file__).resolve().parent


@pytest.fixture(params=BOTH)
def database(request):
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


@pytest.fixture
def house(database, db, tmp_path):
    return House(tmp_path)


@pytest.fixture
def committed(transactional_db, tmp_path):
    """A trail that really commits, for more than one connection at a time."""
    assert connection.vendor == "postgresql"
    return House(tmp_path, now=timezone.now())


def table():
    """Return number → (file, test, whether it is of code alone) of each line."""
    found = {}
    for line in TABLE.strip().splitlines():
        if attack := re.fullmatch(r"L(\d+) +\S.*", line):
            shown = found[int(attack[1])] = []
            continue
        named = re.fullmatch(r"    (\w+): (\w+)( \(code alone\))?", line)
        assert named, line
        [path] = HERE.parent.rglob(f"{named[1]}.py")
        shown.append((path, named[2], bool(named[3])))
    return found


def test_every_attack_has_its_test():
    attacks = table()

    assert list(attacks) == list(range(1, 33))
    for shown in attacks.values():
        assert shown
        for path, name, _ in shown:
            assert re.search(rf"^def test_{name}\(", path.read_text(), re.MULTILINE), name


def test_each_of_them_runs_on_postgresql():
    shown = [one for some in table().values() for one in some]
    paths = sorted({str(path) for path, _, _ in shown})
    marked = "(postgresql and not services) or cluster"  # as the Makefile asks for
    asked = [sys.executable, "-m", "pytest", "--collect-only", "-m", marked, *paths]
    listed = subprocess.run(asked, cwd=HERE.parents[1], capture_output=True, text=True).stdout
    collected = set(re.findall(r"^tests/\S*?(\w+)\.py::test_(\w+)", listed, re.MULTILINE))

    for path, name, is_of_code_alone in shown:
        assert ((path.stem, name) in collected) != is_of_code_alone, name


def elsewhere(act):
    """Do something on a connection of its own, in a thread."""
    failed = []

    def run():
        try:
            act()
        except Exception as exc:  # noqa: BLE001 (told below)
            failed.append(exc)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, failed


# L10, L12, L13


@pytest.mark.postgresql
def test_whoever_commits_late_with_a_small_number_is_sealed(committed):
    begun, go_on = threading.Event(), threading.Event()

    def slowly():
        with transaction.atomic():
            record(Action.SESSION_EXPIRE, by=SYSTEM, on=None, at=committed.now)
            begun.set()
            assert go_on.wait(20)

    thread, failed = elsewhere(slowly)
    assert begun.wait(20)
    [late] = committed.write()
    works = committed.notary()
    works.step(now=committed.now)
    go_on.set()
    thread.join()
    works.step(now=committed.now)

    order = list(log.Leaf.objects.order_by("index").values_list("event_id", flat=True))
    assert failed == []
    assert order[0] == late
    assert order == sorted(order, reverse=True)
    assert len(order) == 2
    assert committed.verify().is_intact


@pytest.mark.postgresql
def test_nobody_waits_for_another_who_records(committed):
    begun, go_on = threading.Event(), threading.Event()

    def long():
        with transaction.atomic():
            record(Action.SESSION_EXPIRE, by=SYSTEM, on=None, at=committed.now)
            begun.set()
            assert go_on.wait(20)

    thread, failed = elsewhere(long)
    assert begun.wait(20)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '50ms'")
        record(Action.SESSION_EXPIRE, by=SYSTEM, on=None, at=committed.now)
    committed.notary().step(now=committed.now)
    go_on.set()
    thread.join()

    assert failed == []
    assert log.Leaf.objects.count() == 1


# L11


@pytest.mark.postgresql
def test_a_transaction_left_open_holds_nothing_up(committed):
    settings = connection.get_connection_params()
    given = {
        name: settings[name] for name in ("host", "port", "user", "password") if settings.get(name)
    }
    with (
        psycopg.connect(**given, dbname=settings["dbname"]) as here,
        psycopg.connect(**given, dbname="postgres") as there,
    ):
        for one in (here, there):
            one.execute("SELECT pg_current_xact_id()")

        committed.seal(3)

        assert log.Leaf.objects.count() == 3
        assert committed.verify().is_intact


# L14


def test_an_old_event_is_not_taken_again(house):
    [old] = house.seal()
    row = Event.objects.get(pk=old)

    for number in (row.uid, uuid7()):
        uid = number if connection.vendor == "postgresql" else number.hex
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO audit_event (uid, payload, mac, mac_key) VALUES (%s, %s, %s, 1)",
                [uid, row.payload, bytes(row.mac)],
            )


# L27


def test_an_address_somebody_claims_is_not_believed(house, client, lin, settings):
    claimed = {"X-Forwarded-For": "1.2.3.4, 10.9.9.9"}
    for proxies, ip in ((0, "127.0.0.1"), (1, "10.9.9.9")):
        settings.TRUSTED_PROXIES = proxies
        client.post("/admin/login/", {"username": "lin", "password": "wrong"}, headers=claimed)

        event = json.loads(Event.objects.filter(action="auth.login_failed").latest("id").payload)
        assert event["ctx"]["ip"] == ip
        assert event["ctx"]["peer"] == "127.0.0.1"


# L29


def test_recording_needs_no_network(house, settings, monkeypatch):
    settings.WITNESS_URL = "http://192.0.2.1/"

    def refuse(*_given, **_how):
        raise AssertionError("recording spoke to somebody")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert house.write()


# L30


def test_what_is_hashed_is_what_is_stored(house):
    [pk] = house.write()
    row = Event.objects.get(pk=pk)
    loose = json.dumps(json.loads(row.payload), indent=None)  # spaces, another order
    assert loose != row.payload
    tamper("UPDATE audit_event SET payload = %s, mac = %s WHERE id = %s", [loose, mac(loose), pk])
    house.notary().step(now=house.now)

    assert bytes(log.Leaf.objects.get().hash) == leaf_hash(loose.encode())
    assert canonical.line(json.loads(loose)) == row.payload
    assert house.verify().is_intact


# L31


def test_nothing_in_the_trail_hangs_on_another_row(house, lin):
    for model in apps.get_app_config("audit").get_models():
        assert not [one for one in model._meta.get_fields() if isinstance(one, models.ForeignKey)]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            if table.startswith("audit_"):
                assert not connection.introspection.get_relations(cursor, table), table
    with transaction.atomic():
        record(Action.STAFF_CREATE, by=lin, on=lin, at=house.now, role="system")
    house.seal()
    pk = lin.pk

    lin.delete()

    assert Event.objects.filter(actor_id=str(pk)).count() == 1
    assert "removed" not in house.kinds()


# L32


def test_who_has_the_applications_key_can_lie_but_not_unsay(house):
    [said, _] = house.seal(2)
    row = Event.objects.get(pk=said)
    unsaid = row.payload.replace("session.expire", "session.refuse")

    house.seal()  # a lie is sealed like anything else
    assert house.verify().is_intact
    unsay = "UPDATE audit_event SET payload = %s, mac = %s WHERE id = %s"
    given = [unsaid, mac(unsaid), said]
    with (
        pytest.raises(Exception, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(unsay, given)
    tamper(unsay, given)

    assert house.kinds() == ["leaf"]
