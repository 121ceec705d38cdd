"""Pending events become leaves in one order, and the order is signed, cosigned and remembered."""

import hashlib
import json
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from structlog.testing import capture_logs

from hospital.audit import anchoring, holding, log, notary, running, sequencing
from hospital.audit.actions import Action
from hospital.audit.checkpoint import Checkpoint, Note
from hospital.audit.marking import WentBack
from hospital.audit.merkle import EMPTY_ROOT, leaf_hash, root_of, verify_consistency
from hospital.audit.models import Event
from hospital.audit.notary import Refused
from hospital.audit.recording import SYSTEM, record
from hospital.audit.sequencing import tombstone
from hospital.audit.tree import Tree
from tests.hospital.notarised import BOTH, House, note, tamper


@pytest.fixture(autouse=True, params=BOTH)
def database(request, db):
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def leaves():
    return [bytes(one) for one in log.Leaf.objects.order_by("index").values_list("hash", flat=True)]


def events(action):
    rows = Event.objects.filter(action=action).order_by("id")
    return [json.loads(one)["facts"] for one in rows.values_list("payload", flat=True)]


def refusal(act):
    with pytest.raises(Refused) as refused:
        act()
    return refused.value.code


def test_what_is_pending_becomes_leaves_over_its_lines(house):
    house.seal(3)

    lines = Event.objects.order_by("id").values_list("payload", flat=True)
    assert leaves() == [leaf_hash(line.encode()) for line in lines]
    assert list(log.Leaf.objects.order_by("index").values_list("index", flat=True)) == [0, 1, 2]
    assert not log.Pending.objects.exists()


def test_the_root_of_all_leaves_is_signed(house):
    house.seal(3)
    house.seal(4)

    first, second = log.Checkpoint.objects.order_by("size")
    assert note(second).checkpoint == Checkpoint(house.origin, 7, root_of(leaves()))
    assert note(first).checkpoint.root == bytes(first.root) == root_of(leaves()[:3])
    for row in (first, second):
        note(row).verify(house.signer.verifier)


def test_a_second_in_which_nothing_happened_makes_no_checkpoint(house):
    works = house.notary()
    house.write()
    works.step(now=house.now)

    works.step(now=house.now)
    works.step(now=house.now)

    assert log.Checkpoint.objects.count() == 1


def test_an_event_committed_late_with_a_small_id_is_found(house):
    early, late = house.write(2)
    tamper("DELETE FROM audit_pending WHERE event_id = %s", [early])  # still uncommitted
    works = house.notary()
    works.step(now=house.now)

    tamper("INSERT INTO audit_pending (event_id) VALUES (%s)", [early])
    works.step(now=house.now)

    order = log.Leaf.objects.order_by("index").values_list("event_id", flat=True)
    assert list(order) == [late, early]
    assert house.verify().is_intact


def test_a_backlog_is_sealed_batch_by_batch(house, monkeypatch):
    monkeypatch.setattr(sequencing, "BATCH", 4)
    house.write(10)
    works = house.notary()

    waits = [works.step(now=house.now) for _ in range(3)]

    assert waits == [True, True, False]
    assert works.tree.size == 10


def test_an_event_with_a_wrong_code_is_sealed_and_found(house):
    wrong, _ = house.write(2)
    tamper("UPDATE audit_event SET mac = %s WHERE id = %s", [b"x" * 32, wrong])
    works = house.notary()

    works.step(now=house.now)
    works.step(now=house.now)

    assert events("audit.finding") == [{"count": 1, "events": [str(wrong)], "kind": "altered"}]
    assert works.tree.size == 3  # both, and what was found


def test_a_code_that_is_not_even_bytes_keeps_nothing_from_being_sealed(house):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL takes nothing but bytes")
    house.write(2)
    tamper("UPDATE audit_event SET mac = 'x'")

    house.notary().step(now=house.now)

    assert len(leaves()) == 2
    assert "mac" in house.kinds()


def test_an_event_removed_before_it_was_sealed_leaves_a_tombstone(house):
    gone, _ = house.write(2)
    tamper("DELETE FROM audit_event WHERE id = %s", [gone])

    house.notary().step(now=house.now)

    assert leaves()[0] == leaf_hash(tombstone(gone))
    assert events("audit.finding") == [{"count": 1, "events": [str(gone)], "kind": "missing"}]


def test_an_event_that_is_queued_again_is_not_sealed_twice(house):
    [once] = house.seal()
    tamper("INSERT INTO audit_pending (event_id) VALUES (%s)", [once])

    house.notary().step(now=house.now)

    assert len(leaves()) == 1
    assert events("audit.finding")[0]["kind"] == "again"


# The tree


@pytest.fixture
def long_log(house):
    """More than one full tile."""
    tree = Tree()
    with transaction.atomic():
        for start in range(0, 66_000, 6_600):
            tree.append(
                (n + 1, hashlib.sha256(b"%d" % n).digest()) for n in range(start, start + 6_600)
            )
    return tree


def test_a_tree_that_is_read_again_goes_on_as_if_it_had_not_stopped(long_log):
    hashes = leaves()

    assert Tree.load().frontier.hashes == long_log.frontier.hashes
    assert Tree.load().frontier.root() == root_of(hashes)
    [tile] = log.Tile.objects.all()
    assert (tile.level, tile.n) == (1, 0)
    assert bytes(tile.hashes[:32]) == root_of(hashes[:256])
    assert bytes(tile.hashes[-32:]) == root_of(hashes[65_280:65_536])


@pytest.mark.parametrize("old", [1, 255, 256, 257, 40_000, 65_535, 65_536, 65_537, 66_000])
def test_what_is_stored_gives_proofs_from_any_size(long_log, old):
    tree = Tree()
    proof = tree.consistency(old, 66_000)

    verify_consistency(
        old, 66_000, old_root=root_of(leaves()[:old]), new_root=root_of(leaves()), proof=proof
    )


def test_a_missing_leaf_is_noticed_when_the_tree_is_read(house):
    house.seal(5)
    tamper('DELETE FROM audit_leaf WHERE "index" = 2')

    assert refusal(house.notary) == "gap"


def leaf_at(index, event_id=10**9):
    tamper('INSERT INTO audit_leaf ("index", event_id, hash) VALUES (%s, %s, %s)',
           [index, event_id, b"x" * 32])  # fmt: skip


@pytest.mark.parametrize("index", [2**40, 2**63 - 1])
def test_a_leaf_far_away_is_no_part_of_the_log(house, index):
    house.seal(3)
    works = house.notary()
    leaf_at(index)

    house.write(2)
    works.step(now=house.now)
    house.seal(1)

    assert house.mark.read().checkpoint.size == 6


def test_a_leaf_where_the_next_event_belongs_is_a_refusal(house):
    house.seal(3)
    works = house.notary()
    [event] = house.write()
    leaf_at(2**40, event)  # of an event that has no place yet

    assert refusal(lambda: works.step(now=house.now)) == "occupied"
    tamper('DELETE FROM audit_leaf WHERE "index" > 3')  # what the runbook says
    house.seal(1)
    assert house.verify().is_intact


def test_a_tile_that_is_not_full_yet_is_not_believed(house):
    house.seal(600)
    tamper("INSERT INTO audit_tile (level, n, hashes) VALUES (1, 0, %s)", [b"x" * 32 * 256])

    house.seal(1)

    assert house.mark.read().checkpoint.root == root_of(leaves())


def test_a_short_tile_is_not_believed(long_log):
    tamper("UPDATE audit_tile SET hashes = %s", [b"x" * 32])

    assert Tree.load(signed=66_000).frontier.root() == root_of(leaves())


def test_a_tile_where_ours_belongs_is_a_refusal(house, monkeypatch):
    tree = Tree()
    with transaction.atomic():
        tree.append((10**9 + n, leaf_hash(b"%d" % n)) for n in range(65_530))
    body = Checkpoint(house.origin, 65_530, tree.frontier.root()).body()
    house.mark.advance(Note(body, (house.signer.line(body),)))
    tamper("INSERT INTO audit_tile (level, n, hashes) VALUES (1, 0, %s)", [b"x" * 32 * 256])
    house.write(10)

    assert refusal(lambda: house.notary().step(now=house.now)) == "occupied"


def test_what_is_no_text_is_sealed_and_found(house):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL takes nothing but UTF-8")
    blob, broken, _ = house.write(3)
    tamper("UPDATE audit_event SET payload = CAST(payload AS BLOB) WHERE id = %s", [blob])
    spoilt = "replace(payload, 'session', CAST(x'ff' AS TEXT))"
    tamper(f"UPDATE audit_event SET payload = {spoilt} WHERE id = %s", [broken])  # noqa: S608

    works = house.notary()
    works.step(now=house.now)
    works.step(now=house.now)

    assert events("audit.finding") == [{"count": 1, "events": [str(broken)], "kind": "altered"}]
    assert house.kinds() == ["columns", "mac"]


def test_what_is_no_number_leaves_the_queue(house):
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL takes nothing but numbers")
    tamper("INSERT INTO audit_pending (event_id) VALUES ('x')")

    house.seal(2)

    assert len(leaves()) == 2
    assert not log.Pending.objects.exists()


# What was signed before


def test_a_notary_that_starts_again_goes_on(house):
    house.seal(3)
    house.seal(2)

    assert [row.size for row in log.Checkpoint.objects.order_by("size")] == [3, 5]
    assert house.mark.read().checkpoint == Checkpoint(house.origin, 5, root_of(leaves()))


def test_the_last_lines_removed_with_all_that_spoke_of_them_stop_it(house):
    house.seal(3)
    house.seal(2)
    tamper('DELETE FROM audit_leaf WHERE "index" >= 3')
    tamper("DELETE FROM audit_checkpoint WHERE size > 3")

    assert refusal(lambda: house.notary().step(now=house.now)) == "smaller"


def test_the_same_number_of_other_leaves_stops_it(house):
    house.seal(3)
    works = house.notary()
    tamper('UPDATE audit_leaf SET hash = %s WHERE "index" = 1', [b"x" * 32])

    assert refusal(lambda: works.step(now=house.now)) == "different"
    assert refusal(lambda: house.notary().step(now=house.now)) == "different"


def test_leaves_of_somebody_else_stop_it(house):
    works = house.notary()
    house.write(2)
    works.step(now=house.now)
    tamper('INSERT INTO audit_leaf ("index", event_id, hash) VALUES (2, -1, %s)', [b"x" * 32])

    assert refusal(lambda: works.step(now=house.now)) == "different"


def test_without_what_it_signed_it_does_not_go_on(house):
    house.seal()
    works = house.notary()
    house.mark.path.unlink()

    assert refusal(lambda: works.step(now=house.now)) == "no_mark"
    assert refusal(house.notary) == "no_mark"


@pytest.mark.parametrize(
    "content", [b"", b"25", b"\xff", b"a note\n\n\xe2\x80\x94 but QQ==\n"],
    ids=["empty", "a number", "not text", "no checkpoint"],
)  # fmt: skip
def test_a_mark_that_cannot_be_read_is_no_mark(house, content):
    house.seal()
    house.mark.path.write_bytes(content)

    assert refusal(house.notary) == "bad_mark"


def test_the_mark_does_not_go_back(house):
    house.seal(5)
    mark = house.mark.read()
    for size, root in ((4, root_of(leaves()[:4])), (5, b"x" * 32)):
        body = Checkpoint(house.origin, size, root).body()
        with pytest.raises(WentBack):
            house.mark.advance(Note(body, (house.signer.line(body),)))
    assert house.mark.read() == mark

    other = Checkpoint(f"{house.origin}/2", 0, EMPTY_ROOT).body()
    house.mark.advance(Note(other, (house.signer.line(other),)))  # another log's begins anew


def test_a_notary_that_was_overtaken_stops(house):
    works = house.notary()
    house.write()
    body = Checkpoint(house.origin, 9, b"x" * 32).body()
    publish = works._keep
    works._keep = lambda *given: (
        publish(*given), house.mark.advance(Note(body, (house.signer.line(body),))),
    )  # fmt: skip

    assert refusal(lambda: works.step(now=house.now)) == "overtaken"


def test_a_copy_of_an_anchor_is_as_good_as_the_mark(house):
    house.seal(2)
    house.notary().anchor(now=house.now)
    house.mark.path.unlink()

    [anchored] = anchoring.read(house.anchor_file.path.read_text()).notes
    house.mark.advance(anchored)
    house.seal(1)

    assert len(leaves()) == 3


def test_a_new_name_begins_a_new_log_which_says_what_the_old_one_was(house, tmp_path):
    house.seal(5)
    root = root_of(leaves())
    tamper('DELETE FROM audit_leaf WHERE "index" >= 3')  # an older backup
    tamper("DELETE FROM audit_checkpoint")
    assert refusal(lambda: house.notary().step(now=house.now)) == "smaller"

    renamed = House(tmp_path, origin=house.origin + "/2", key=house.key)
    renamed.notary().step(now=house.now)

    assert events("notary.begin") == [
        {"before": house.origin, "origin": renamed.origin, "root": root.hex(), "size": 5}
    ]
    assert note(log.Checkpoint.objects.get()).checkpoint.origin == renamed.origin
    renamed.seal(1)


def test_a_checkpoint_somebody_put_there_does_not_stop_the_log(house):
    tamper(
        "INSERT INTO audit_checkpoint (size, root, note, created_at) VALUES (1, %s, 'x', %s)",
        [b"x" * 32, house.now],
    )
    house.seal()
    house.seal()

    assert {one["kind"] for one in events("audit.finding")} == {"checkpoint"}
    assert house.mark.read().checkpoint.size == len(leaves())
    assert "root" in house.kinds()


# The witness


def test_a_witness_that_agrees_is_in_the_note(house):
    house.seal(2, witnessed=True)
    house.later(seconds=1)
    house.seal(3, witnessed=True)

    for row in log.Checkpoint.objects.all():
        assert note(row).verify(house.desk.signer.verifier) is not None
    assert house.verify(verifiers=house.verifiers).is_intact


def test_without_its_witness_the_log_goes_on_and_is_cosigned_later(house):
    house.is_witness_away = True
    works = house.notary(witnessed=True)
    house.write(2)
    works.step(now=house.now)
    assert not note(log.Checkpoint.objects.get()).is_signed_by(house.desk.signer.verifier)

    house.is_witness_away = False
    house.later(seconds=notary.ASKED_AGAIN.total_seconds())
    works.step(now=house.now)

    late = log.Anchor.objects.get(sink="witness")
    signed = note(log.Checkpoint.objects.get()).with_lines([late.receipt])
    assert signed.is_signed_by(house.desk.signer.verifier)
    assert house.verify(verifiers=house.verifiers).is_intact


def test_a_witness_that_stays_away_is_an_alarm_once(house):
    house.is_witness_away = True
    works = house.notary(witnessed=True)
    house.write()
    for _ in range(12):
        works.step(now=house.now)
        house.later(minutes=2)

    assert [one["seconds"] for one in events("notary.unwitnessed")] == [960]
    assert "witness" in house.kinds(verifiers=house.verifiers)


def test_a_witness_away_is_not_asked_every_second(house):
    works = house.notary(witnessed=True)
    asked = []
    works._witness.cosign = lambda *_args, **_kwargs: asked.append(1) or _away()
    house.write()
    for _ in range(11):
        works.step(now=house.now)
        house.later(seconds=1)

    assert len(asked) == 2


def test_the_time_it_took_to_ask_is_not_part_of_the_pause(house, monkeypatch):
    works = house.notary(witnessed=True)
    passed = iter([0.0, 7.5])
    clock = SimpleNamespace(monotonic=lambda: next(passed))
    monkeypatch.setattr(notary, "time", clock)
    works._witness.cosign = lambda *_args, **_kwargs: _away()
    house.write()

    works.step(now=house.now)

    assert (works._ask_from - house.now).total_seconds() == 17


def test_an_alarm_survives_a_restart_and_so_does_the_quarter_of_an_hour(house):
    house.seal(witnessed=True)
    house.is_witness_away = True
    for _ in range(12):
        house.seal(witnessed=True)  # a notary of its own each time
        house.later(minutes=2)

    assert [one["seconds"] for one in events("notary.unwitnessed")] == [960]


def test_an_alarm_that_somebody_forged_or_dated_ahead_keeps_none_from_being_raised(house):
    house.seal(witnessed=True)
    with transaction.atomic():
        ahead = house.now + timedelta(days=400)
        record(Action.NOTARY_UNWITNESSED, by=SYSTEM, on=None, at=ahead, seconds=1, size=1)
        house.later(minutes=1)
        forged = record(
            Action.NOTARY_UNWITNESSED, by=SYSTEM, on=None, at=house.now, seconds=2, size=1
        )
    tamper("UPDATE audit_event SET mac = %s WHERE id = %s", [b"x", forged.pk])
    house.is_witness_away = True
    for _ in range(12):
        house.seal(witnessed=True)
        house.later(minutes=2)

    assert [one["seconds"] for one in events("notary.unwitnessed")] == [1, 2, 960]


def test_a_forged_cosignature_beside_the_witness_own_is_no_alarm(house):
    house.is_witness_away = True
    works = house.notary(witnessed=True)
    house.write()
    works.step(now=house.now)
    house.is_witness_away = False
    house.later(seconds=11)
    works.step(now=house.now)
    forged = house.desk.signer.line("other\n", at=1)
    tamper(
        "INSERT INTO audit_anchor (size, sink, at, receipt) VALUES (1, 'witness', %s, %s)",
        [house.now, forged],
    )

    assert house.notary(witnessed=True)._unwitnessed_since is None


def test_an_anchor_that_is_no_text_or_number_keeps_nothing_from_starting(house):
    if connection.vendor != "sqlite":
        pytest.skip("a text is a text there")
    house.seal(2)
    for sink in ("witness", "file"):
        for size in ("2", "x'00'", "'x'"):
            tamper(
                "INSERT INTO audit_anchor (size, sink, at, receipt) VALUES"  # noqa: S608
                f" ({size}, '{sink}', '2026-11-19 0', CAST(x'ff' AS TEXT))"
            )

    house.seal(witnessed=True)

    assert house.mark.read().checkpoint.size == 3


def test_a_leaf_at_no_number_of_the_next_event_is_a_refusal(house):
    if connection.vendor != "sqlite":
        pytest.skip("a number is a number there")
    house.seal(2)
    following = Event.objects.latest("id").pk + 1
    tamper(f"INSERT INTO audit_leaf VALUES (x'00', {following}, x'00')")  # noqa: S608

    assert refusal(house.seal) == "occupied"


def _away():
    raise notary.Away("away")


def test_a_notary_killed_after_the_witness_signed_asks_again(house):
    house.seal(2, witnessed=True)
    house.write(1)
    works = house.notary(witnessed=True)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(works, "_keep", lambda *_: 1 / 0)
        works.step(now=house.now)

    house.seal(1, witnessed=True)

    newest = log.Checkpoint.objects.latest("size")
    assert newest.size == 4
    assert note(newest).is_signed_by(house.desk.signer.verifier)


@pytest.mark.parametrize("grown", [0, 1, 4], ids=["smaller", "as large", "larger"])
def test_history_rewritten_down_to_the_mark_is_refused_by_the_witness(house, tmp_path, grown):
    house.seal(5, witnessed=True)
    tamper('DELETE FROM audit_leaf WHERE "index" >= 4')
    tamper("DELETE FROM audit_checkpoint")
    again = Checkpoint(house.origin, 4, root_of(leaves()))
    house.mark.path.write_text(str(Note(again.body(), (house.signer.line(again.body()),))))
    house.write(grown)

    if not grown:  # nothing to sign, but the witness is asked for what is unsigned by it
        assert refusal(lambda: house.notary(witnessed=True).step(now=house.now)) == "witness"
        return
    assert refusal(lambda: house.notary(witnessed=True).step(now=house.now)) == "witness"
    assert not log.Checkpoint.objects.exists()


# Anchors


def test_every_ten_minutes_the_note_goes_to_the_anchor(house):
    works = house.notary()
    for _ in range(5):
        house.write()
        works.step(now=house.now)
        house.later(minutes=5)

    anchored = anchoring.read(house.anchor_file.path.read_text()).notes
    assert [one.checkpoint.size for one in anchored] == [3, 5]
    receipt = log.Anchor.objects.order_by("size").first().receipt
    assert receipt == hashlib.sha256(str(anchored[0]).encode()).hexdigest()


def test_a_note_that_was_cut_off_spoils_no_other(house):
    house.seal()
    house.notary().anchor(now=house.now)
    with house.anchor_file.path.open("a") as file:
        file.write("\nhospital.example/trail\n9\nAAAA")
    house.seal()
    house.notary().anchor(now=house.now)

    anchored = anchoring.read(house.anchor_file.path.read_text()).notes
    assert [one.checkpoint.size for one in anchored] == [1, 2]
    assert all(one.is_signed_by(house.signer.verifier) for one in anchored)


def test_an_anchor_that_cannot_be_written_does_not_stop_the_log(house):
    house.anchor_file.path.mkdir()
    works = house.notary()
    house.write()
    works.step(now=house.now)

    house.later(minutes=11)
    works.step(now=house.now)

    assert not log.Anchor.objects.exists()


def test_a_row_that_says_it_was_anchored_is_not_believed(house):
    log.Anchor.objects.create(size=10**12, sink="file", at=house.now, receipt="x")
    house.seal()

    house.notary().anchor(now=house.now)

    assert len(anchoring.read(house.anchor_file.path.read_text()).notes) == 1


def test_after_a_restart_anchors_are_not_late(house):
    house.seal()
    house.later(minutes=6)
    house.seal()
    house.later(minutes=6)

    house.seal()

    assert [
        one.checkpoint.size for one in anchoring.read(house.anchor_file.path.read_text()).notes
    ] == [3]
    house.later(minutes=9)
    house.seal()
    assert len(anchoring.read(house.anchor_file.path.read_text()).notes) == 1
    house.later(minutes=1)
    house.seal()
    assert len(anchoring.read(house.anchor_file.path.read_text()).notes) == 2


def test_a_time_nobody_can_live_to_see_keeps_nothing_from_starting(house):
    house.seal()
    never = "infinity" if connection.vendor == "postgresql" else "soon"
    tamper("INSERT INTO audit_anchor (size, sink, at, receipt) VALUES (1, 'file', %s, '')", [never])
    tamper(
        "INSERT INTO audit_checkpoint (size, root, note, created_at) VALUES (9, %s, '', %s)",
        [b"x", never],
    )

    house.seal(witnessed=True)

    assert house.mark.read().checkpoint.size == 2
    assert "truncated" in house.kinds()


# One at a time


def test_the_second_waits_for_the_first(tmp_path):
    first, second = holding.hold(tmp_path), holding.hold(tmp_path)
    try:
        assert first.take()
        assert first.is_ours()
        assert not second.take()

        first.release()

        assert not first.is_ours()
        assert second.take()
    finally:
        first.release()
        second.release()


def test_who_waits_for_the_lock_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "TOLD_AGAIN", 0.5)
    monkeypatch.setattr(running, "connection", SimpleNamespace(close=lambda: None))
    first, second, stop = holding.hold(tmp_path), holding.hold(tmp_path), threading.Event()
    assert first.take()
    waits = threading.Timer(0.8, stop.set)
    waits.start()
    try:
        with capture_logs() as logs:
            running.run(lambda _now: None, second, interval=0.05, stop=stop)
    finally:
        first.release()

    assert [one["event"] for one in logs] == ["notary.waiting", "notary.waiting"]


def test_a_lock_whose_session_ended_is_not_ours(tmp_path):
    if connection.vendor != "postgresql":
        pytest.skip("of a file there is no session")
    held = holding.hold(tmp_path)
    assert held.take()
    with held._connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [session] = cursor.fetchone()

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [session])

    assert not held.is_ours()
    held.release()


# The commands


@pytest.fixture
def configured(house, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    settings.TRAIL_ORIGIN = house.origin
    settings.NOTARY_KEY_FILE = str(tmp_path / "notary.pem")
    settings.NOTARY_STATE = house.mark.path
    settings.ANCHOR_FILE = str(house.anchor_file.path)
    return settings


def test_a_key_is_made_once_and_its_public_half_is_told(configured, capsys):
    call_command("createlogkey")
    told = capsys.readouterr().out.strip()

    assert told.startswith(configured.TRAIL_ORIGIN + "+")
    assert Path(configured.NOTARY_KEY_FILE).stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="已存在"):
        call_command("createlogkey")


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "留痕"])
def test_a_log_without_a_name_is_not_begun(configured, origin):
    configured.TRAIL_ORIGIN = origin

    for command in ("createlogkey", "runnotary"):
        with pytest.raises(CommandError, match="TRAIL_ORIGIN"):
            call_command(command)
    assert not Path(configured.NOTARY_KEY_FILE).exists()


def test_a_process_that_was_not_told_of_the_key_is_no_notary(configured):
    configured.NOTARY_KEY_FILE = ""

    for command in ("createlogkey", "runnotary"):
        with pytest.raises(CommandError, match="NOTARY_KEY_FILE"):
            call_command(command)


def test_once_seals_what_there_is_and_anchors_it(configured, house, capsys):
    call_command("createlogkey")
    house.write(3)

    call_command("runnotary", "--once")

    assert "已封存 3 条" in capsys.readouterr().out
    assert len(anchoring.read(house.anchor_file.path.read_text()).notes) == 1


def test_a_refusal_is_an_event_and_an_exit_code(configured, house):
    call_command("createlogkey")
    house.write(3)
    call_command("runnotary", "--once")
    tamper('DELETE FROM audit_leaf WHERE "index" >= 2')

    with pytest.raises(CommandError, match=r"docs/audit\.md") as ended:
        call_command("runnotary", "--once")

    assert ended.value.returncode == 3
    assert events("notary.refuse") == [{"code": "smaller", "found": 2, "size": 3}]


def test_a_number_no_event_can_state_loses_no_exit_code(configured, house, capsys):
    refused = Refused("witness", size=10**18, found=2**63)

    notary.note_refusal(refused, now=house.now)

    most = 2**53 - 1
    assert events("notary.refuse") == [{"code": "witness", "found": most, "size": most}]


def test_a_key_others_may_read_is_not_used(configured):
    call_command("createlogkey")
    Path(configured.NOTARY_KEY_FILE).chmod(0o640)

    with pytest.raises(CommandError, match="chmod 600"):
        call_command("runnotary", "--once")


def test_a_witness_without_its_key_is_not_asked(configured):
    call_command("createlogkey")
    configured.WITNESS_URL = "http://127.0.0.1:1/"

    with pytest.raises(CommandError, match="TRAIL_VERIFIERS"):
        call_command("runnotary", "--once")


def test_an_empty_log_has_the_root_of_nothing(house):
    house.notary().step(now=house.now)

    assert house.mark.read().checkpoint == Checkpoint(house.origin, 0, EMPTY_ROOT)
    assert not log.Checkpoint.objects.exists()
