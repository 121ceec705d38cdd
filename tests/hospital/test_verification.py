"""What the owner of the database can do to the trail, each with what the verification says."""

import json
import re
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from uuid6 import uuid7

from hospital.audit import (
    anchoring,
    canonical,
    guards,
    lines,
    log,
    reading,
    recording,
    sequencing,
    verification,
    verified,
)
from hospital.audit.actions import Action
from hospital.audit.checkpoint import Checkpoint, Note, Signer
from hospital.audit.merkle import leaf_hash, root_of
from hospital.audit.models import Event
from hospital.audit.notary import Refused
from hospital.audit.proposals import Proposal
from hospital.audit.recording import SYSTEM, Actor, record
from tests.hospital.notarised import BOTH, House, note, tamper


@pytest.fixture(autouse=True, params=BOTH)
def database(request, db):
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


@pytest.fixture
def house(tmp_path):
    """A trail of 25 events under three checkpoints, the last of them anchored."""
    house = House(tmp_path)
    for count in (10, 10, 5):
        house.seal(count)
        house.later(seconds=1)
    house.notary().anchor(now=house.now)
    return house


def anchors(house):
    return anchoring.read(house.anchor_file.path.read_text()).notes


def at(place):
    """Return the id of the event at a place in the log."""
    return log.Leaf.objects.get(index=place).event_id


def said(verdict):
    return [one.text for one in verdict.findings]


def rebuild(house, *, sizes=(10, 20, 25), key=None):
    """Recompute every hash over what the events say now, and have the roots signed."""
    signer = Signer(house.origin, key or Ed25519PrivateKey.generate())
    lines = [
        Event.objects.get(pk=pk).payload
        for pk in log.Leaf.objects.order_by("index").values_list("event_id", flat=True)
    ]
    hashes = [leaf_hash(line.encode()) for line in lines]
    for place, one in enumerate(hashes):
        tamper('UPDATE audit_leaf SET hash = %s WHERE "index" = %s', [one, place])
    for size in sizes:
        root = root_of(hashes[:size])
        body = Checkpoint(house.origin, size, root).body()
        tamper(
            "UPDATE audit_checkpoint SET root = %s, note = %s WHERE size = %s",
            [root, str(Note(body, (signer.line(body),))), size],
        )


def rewrite(place, *, with_key=False):
    """Have an event say something else; perhaps by who has the key of its code."""
    row = Event.objects.get(pk=at(place))
    payload = row.payload.replace("session.expire", "session.failed")
    code = recording.mac(payload) if with_key else bytes(row.mac)
    tamper("UPDATE audit_event SET payload = %s, mac = %s WHERE id = %s", [payload, code, row.pk])
    return row.pk


# Nothing happened


def test_a_trail_nobody_touched_is_intact(house):
    verdict = house.verify(anchors=anchors(house))

    assert said(verdict) == []
    assert (verdict.events, verdict.sealed, verdict.signed, verdict.anchored) == (25, 25, 25, 1)
    assert verdict.unsettled == []


def test_what_waits_for_its_place_is_read_as_well(house):
    house.write(2)

    verdict = house.verify()

    assert verdict.is_intact
    assert (verdict.events, verdict.sealed) == (27, 25)


def test_what_the_notary_adds_meanwhile_is_not_taken_for_missing(house):
    def seal(_done, _all):
        house.seal(3)

    assert house.verify(told=seal).is_intact


# L1: the end is cut off, with all that spoke of it


def cut(house, *, down_to=20):
    tamper(
        'DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_leaf WHERE "index" >= %s)',
        [down_to],
    )
    tamper('DELETE FROM audit_leaf WHERE "index" >= %s', [down_to])
    tamper("DELETE FROM audit_checkpoint WHERE size > %s", [down_to])
    tamper("DELETE FROM audit_anchor")


def test_a_cut_end_is_found_with_an_anchor_and_only_with_one(house):
    cut(house)

    assert house.verify().is_intact
    assert said(house.verify(anchors=anchors(house))) == [
        "TRUNCATED 外部锚点说有 25 条，数据库只有 20 条：被截断"
    ]


def test_a_cut_end_that_left_its_checkpoint_is_found_without(house):
    tamper('DELETE FROM audit_leaf WHERE "index" >= 20')
    tamper("DELETE FROM audit_event WHERE id NOT IN (SELECT event_id FROM audit_leaf)")

    assert house.kinds() == ["truncated"]


# L2: an event is rewritten, and whatever follows from it


def test_a_rewritten_line_is_found(house):
    row = rewrite(7)

    verdict = house.verify()

    assert said(verdict) == [f"留痕 {row} 内容与封存时不同", f"留痕 {row} 校验码不符"]
    assert verdict.altered == (row,)


def test_a_rewritten_line_with_its_leaf_is_found(house):
    rewrite(7, with_key=True)
    tamper(
        'UPDATE audit_leaf SET hash = %s WHERE "index" = 7',
        [leaf_hash(Event.objects.get(pk=at(7)).payload.encode())],
    )

    assert house.kinds() == ["root"]
    assert house.verify().count == 3  # each of the checkpoints


def test_a_history_rewritten_in_full_lacks_the_signature(house):
    rewrite(7, with_key=True)
    rebuild(house)

    assert house.kinds() == ["signature"]


def test_a_history_rewritten_by_who_has_the_logs_key_is_another_than_the_anchor(house):
    rewrite(7, with_key=True)
    rebuild(house, key=house.key)

    assert house.verify().is_intact
    assert house.kinds(anchors=anchors(house)) == ["forked"]


def test_a_checkpoint_whose_note_says_something_else_is_found(house):
    other = log.Checkpoint.objects.get(size=10).note
    tamper("UPDATE audit_checkpoint SET note = %s WHERE size = 20", [other])

    assert house.kinds() == ["signature"]


def test_a_checkpoint_without_a_note_is_found(house):
    tamper("UPDATE audit_checkpoint SET note = 'x' WHERE size = 20")

    assert house.kinds() == ["signature"]


# L3: the columns people see; that they cannot be written at all is in test_recording.py


def test_columns_that_are_no_longer_generated_are_found():
    line = reading.Line(1, "0" * 32, "", b"", 0, "a", "b", "c", "d", "e", "f", "g")
    payload = {
        "uid": "0" * 32, "t": 0, "action": "a", "outcome": "b", "actor": {"type": "c", "id": "d"},
        "object": {"type": "e", "id": "f"}, "ctx": {"req": "g"},
    }  # fmt: skip

    def faults(**changes):
        text = json.dumps(payload)
        given = line._replace(payload=text, mac=recording.mac(text))._replace(**changes)
        return list(lines.faults(given))

    assert faults() == []
    for column in lines.SHOWN:
        assert faults(**{column: "x"}) == ["columns"]
    assert faults(uid="1" * 32) == ["columns"]
    assert faults(payload="[]") == ["mac", "columns"]
    assert faults(payload="") == ["mac", "columns"]


# L4, L5, L6: the guards are in test_guards.py


def test_a_guard_that_was_switched_off_is_found(house):
    suffix = " ON audit_event" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER audit_event_enqueue{suffix}")

    assert said(house.verify()) == ["数据库防护缺少触发器：audit_event_enqueue"]


# L10: the order of commits is in test_notary.py. L14: an old event again


def test_an_old_event_under_a_new_number_is_found(house):
    old = Event.objects.get(pk=at(3))
    uid = "01234567-89ab-7def-8123-456789abcdef"
    given = uid if connection.vendor == "postgresql" else uid.replace("-", "")
    with unchecked():
        tamper(
            "INSERT INTO audit_event (uid, payload, mac, mac_key) VALUES (%s, %s, %s, 1)",
            [given, old.payload, bytes(old.mac)],
        )

    assert house.kinds() == ["columns", "hidden"]


@contextmanager
def unchecked():
    """Without the constraint that refuses it, which is there afterwards as if nothing had been."""
    if connection.vendor != "postgresql":  # a trigger, like those `tamper` takes down
        yield
        return
    named = "conname = 'audit_event_own_uid'"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE {named}")  # noqa: S608
        (said,) = cursor.fetchone()
        cursor.execute("ALTER TABLE audit_event DROP CONSTRAINT audit_event_own_uid")
        yield
        cursor.execute(
            f"ALTER TABLE audit_event ADD CONSTRAINT audit_event_own_uid {said} NOT VALID"
        )
        cursor.execute(f"UPDATE pg_constraint SET convalidated = true WHERE {named}")  # noqa: S608


# L15: an event nobody recorded


def test_an_event_of_who_has_no_key_is_found_though_it_is_sealed(house):
    row = Event.objects.get(pk=at(3))
    uid = "01234567-89ab-7def-8123-456789abcdef"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (uid, payload, mac, mac_key) VALUES (%s, %s, %s, 1)",
            [
                uid if connection.vendor == "postgresql" else uid.replace("-", ""),
                row.payload.replace(str(row.uid), uid),
                b"x" * 32,
            ],
        )
    house.seal()

    assert house.kinds() == ["mac"]
    assert house.verify().signed == 27


# L16: removed before, or after, it was sealed


def test_an_event_removed_before_it_was_sealed_is_found(house):
    [gone] = house.write()
    tamper("DELETE FROM audit_event WHERE id = %s", [gone])
    assert said(house.verify()) == [f"留痕 {gone} 在封存之前被删除"]

    house.notary().step(now=house.now)

    assert said(house.verify()) == [f"留痕 {gone} 在封存之前被删除"]


def test_an_event_removed_after_it_was_sealed_is_found(house):
    gone = at(7)
    tamper("DELETE FROM audit_event WHERE id = %s", [gone])

    assert said(house.verify()) == [f"留痕 {gone} 在封存之后被删除"]


def test_an_event_removed_with_its_leaf_is_found(house):
    tamper("DELETE FROM audit_event WHERE id = %s", [at(7)])
    tamper('DELETE FROM audit_leaf WHERE "index" = 7')

    verdict = house.verify()

    assert "封存序号 7 至 7 缺失" in said(verdict)
    assert {one.kind for one in verdict.findings} == {"gap", "root"}


def test_no_leaf_lies_before_the_first(house):
    with pytest.raises(IntegrityError), transaction.atomic():
        tamper("INSERT INTO audit_leaf (\"index\", event_id, hash) VALUES (-1, -1, '')")


# L17: an event hidden from the notary


def test_an_event_hidden_from_the_notary_is_found(house):
    with connection.cursor() as cursor:
        off = "ALTER TABLE audit_event DISABLE TRIGGER audit_event_enqueue"
        cursor.execute(
            off if connection.vendor == "postgresql" else "DROP TRIGGER audit_event_enqueue"
        )
    [hidden] = house.write()
    assert not log.Pending.objects.exists()
    guards.install(connection)
    house.seal()

    assert said(house.verify()) == [f"留痕 {hidden} 绕过了封存"]


# L18: the log's key is stolen


def test_without_the_witness_a_stolen_key_signs_in_vain(house):
    for _ in range(2):
        house.seal(2, witnessed=True)
        house.later(minutes=20)
    rewrite(7, with_key=True)
    rebuild(house, sizes=(10, 20, 25, 27, 29), key=house.key)

    assert house.verify().is_intact
    assert house.kinds(verifiers=house.verifiers) == ["witness"]


@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_a_witness_that_was_away_for_a_moment_is_no_finding(house, monkeypatch, at_once):
    monkeypatch.setattr("hospital.audit.cosigned._AT_ONCE", at_once)
    house.seal(2, witnessed=True)
    house.later(minutes=5)
    house.seal(1)
    house.seal(1)
    assert house.verify(verifiers=house.verifiers).is_intact

    house.later(minutes=11)

    assert house.kinds(verifiers=house.verifiers) == ["witness"]


# L19: an older backup


def test_a_restored_backup_is_refused_by_the_notary_and_found_with_an_anchor(house):
    cut(house)

    with pytest.raises(Refused, match="smaller"):
        house.notary().step(now=house.now)
    assert house.kinds(anchors=anchors(house)) == ["truncated"]


# L21: the clocks differ


@pytest.mark.parametrize("seconds", [-310, 310], ids=["dated back", "dated ahead"])
def test_an_event_of_another_time_is_found(house, seconds):
    began = house.now
    house.later(seconds=seconds)
    [wrong] = house.write()
    house.now = began + timedelta(seconds=0.5)
    house.notary().step(now=house.now)

    assert said(house.verify()) == [f"留痕 {wrong} 的时间与封存时间相差超过 300 秒"]


def test_a_notary_that_was_away_for_a_night_makes_nobody_late(house):
    house.later(hours=1)
    house.write()
    house.later(hours=9)
    house.notary().step(now=house.now)

    assert house.verify().is_intact


def test_a_backlog_in_full_batches_makes_nobody_late(house, monkeypatch):
    monkeypatch.setattr(sequencing, "BATCH", 4)
    house.write(6)
    house.later(minutes=10)
    works = house.notary()
    for _ in range(2):  # the second batch is of before the first one's checkpoint
        works.step(now=house.now)

    assert house.verify().is_intact


def test_one_that_is_dated_back_behind_a_small_batch_is_found(house):
    house.later(minutes=10)
    house.seal(2)  # less than a batch: nothing older was waiting then
    house.now -= timedelta(minutes=10)
    [wrong] = house.write()
    house.later(minutes=10)
    house.notary().step(now=house.now)

    assert said(house.verify()) == [f"留痕 {wrong} 的时间与封存时间相差超过 300 秒"]


# What somebody put where nothing belongs


@pytest.mark.parametrize("index", [2**40, 2**63 - 1])
def test_a_leaf_far_away_is_found_in_no_time(house, index):
    tamper('INSERT INTO audit_leaf ("index", event_id, hash) VALUES (%s, -1, %s)', [index, b"x"])

    verdict = house.verify(anchors=anchors(house))

    assert f"封存序号 25 至 {index - 1} 缺失" in said(verdict)
    assert (verdict.signed, verdict.anchored) == (25, 1)


def test_a_leaf_far_away_does_not_stand_for_a_cut_end(house):
    cut(house)
    tamper('INSERT INTO audit_leaf ("index", event_id, hash) VALUES (%s, -1, %s)', [2**40, b"x"])

    assert {"gap", "forked"} <= set(house.kinds(anchors=anchors(house)))


def test_a_checkpoint_beyond_the_log_is_found(house):
    tamper(
        "INSERT INTO audit_checkpoint (size, root, note, created_at) VALUES (%s, %s, 'x', %s)",
        [2**60, b"x" * 32, house.now],
    )

    assert house.kinds() == ["truncated"]


def test_a_tile_before_its_time_changes_nothing(house):
    tamper("INSERT INTO audit_tile (level, n, hashes) VALUES (1, 0, %s)", [b"x" * 32 * 256])

    assert house.verify().is_intact


# What two people allowed


def agreed(house, action, *, asker="lin", decider="wang", outcome="success", **facts):
    """Record that two people wanted it, and have that sealed; return the proposal's id."""
    proposal = Proposal(id=uuid7())
    kind = action.value.tag
    asks, decides = (Actor("staff", one, "x") for one in (asker, decider))
    how = {"on": proposal, "at": house.now, "outcome": outcome, "kind": kind}
    with transaction.atomic():
        record(Action.PROPOSAL_ASK, by=asks, reason="x", **how, **facts)
        record(Action.PROPOSAL_DECIDE, by=decides, decision="approved", **how)
    house.notary().step(now=house.now)
    return proposal.pk


def as_told(_kind, facts):
    return {name: canonical.fact(one) for name, one in facts.items()}


def tell(house, action, **facts):
    """Record what was done, as the verbs of keeping do."""
    if action is Action.AUDIT_PRUNE:
        facts = {"sha256": ["0" * 64], "count": 0, **facts}
    with transaction.atomic():
        record(action, by=SYSTEM, on=None, at=house.now, **facts)


def stored(proposal):
    return proposal if connection.vendor == "postgresql" else proposal.hex


def archive(house, start, end):
    tamper(
        'INSERT INTO audit_archive (start, "end", root, name, size, sha256, sm3, at)'
        " VALUES (%s, %s, %s, 'x', 1, 'x', 'x', %s)",
        [start, end, b"x", house.now],
    )


def prune(house, start, end, *, kept=(), proposal=None, is_archived=True):
    """Do what the verb does half a year later, but for the event that tells of it."""
    if proposal is None:
        house.later(days=200)
        proposal = agreed(house, Action.AUDIT_PRUNE, start=start, end=end)
    if is_archived:
        archive(house, start, end)
    for place in set(range(start, end)) - set(kept):
        tamper(
            "DELETE FROM audit_event WHERE id ="
            ' (SELECT event_id FROM audit_leaf WHERE "index" = %s)',
            [place],
        )
    tamper(
        'INSERT INTO audit_pruned (start, "end", archive, proposal, at) VALUES (%s, %s, 1, %s, %s)',
        [start, end, stored(proposal), house.now],
    )
    return proposal


def redact(house, place, *, proposal=None):
    """Do what the verb does, but for the row and the event; return what they state."""
    leaf = log.Leaf.objects.get(index=place)
    hash_ = bytes(leaf.hash).hex()
    proposal = proposal or agreed(house, Action.AUDIT_REDACT, index=place, hash=hash_)
    text = canonical.line({"redacted": hash_, "v": 1})
    tamper(
        "UPDATE audit_event SET payload = %s, mac = %s WHERE id = %s",
        [text, recording.mac(text), leaf.event_id],
    )
    return {"index": place, "hash": hash_, "proposal": proposal}


def list_redacted(house, place, proposal):
    tamper(
        'INSERT INTO audit_redacted ("index", proposal, at) VALUES (%s, %s, %s)',
        [place, stored(proposal), house.now],
    )


UNSAID = "封存序号 0 至 7 的留痕已清理，留痕中却没有批准清理的记录"


def test_what_was_pruned_as_the_trail_says_is_no_finding(house):
    proposal = prune(house, 0, 8)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal)
    assert said(house.verify()) == []  # though it waits for its place

    house.seal()
    verdict = house.verify(anchors=anchors(house))

    assert said(verdict) == []
    assert (verdict.pruned, verdict.anchored, verdict.sealed) == (8, 2, 29)


def test_what_was_pruned_and_no_event_says_so_is_found(house):
    prune(house, 0, 8)

    assert said(house.verify()) == [UNSAID]
    assert house.verify().pruned == 0


@pytest.mark.parametrize(
    "facts",
    [{"start": 1}, {"end": 7}, {"proposal": "other"}, {"count": "0"}, {"start": False}],
    ids=["start", "end", "proposal", "a count that is none", "a start that is none"],
)
def test_an_event_that_names_something_else_allows_nothing(house, facts, monkeypatch):
    proposal = prune(house, 0, 8)
    # Whoever has our code key states what the program itself would refuse.
    monkeypatch.setattr("hospital.audit.recording._stated", as_told)
    tell(house, Action.AUDIT_PRUNE, **{"start": 0, "end": 8, "proposal": proposal, **facts})
    house.seal()

    assert house.kinds() == ["pruned"]


def test_a_row_of_another_proposal_allows_nothing(house):
    pruned, facts = prune(house, 0, 3, proposal=uuid7()), redact(house, 3)
    list_redacted(house, 3, pruned)
    house.later(days=200)
    wanted = agreed(house, Action.AUDIT_PRUNE, start=0, end=3)
    tell(house, Action.AUDIT_PRUNE, start=0, end=3, proposal=wanted)
    tell(house, Action.AUDIT_REDACT, **facts)
    house.seal()

    assert house.kinds() == ["pruned", "redacted"]


def test_a_pruning_that_failed_allows_nothing(house):
    proposal = prune(house, 0, 8)
    facts = {"start": 0, "end": 8, "proposal": proposal, "count": 0}
    with transaction.atomic():
        record(Action.AUDIT_PRUNE, by=SYSTEM, on=None, at=house.now, outcome="failed", **facts)
    house.seal()

    assert said(house.verify()) == [UNSAID]


@pytest.mark.parametrize(
    "how",
    [{"decider": "lin"}, {"outcome": "denied"}, {"end": 9}, {"asker": ""}],
    ids=["one person", "not done", "another range", "nobody"],
)
def test_what_two_people_did_not_want_is_found(house, how):
    house.later(days=200)
    proposal = agreed(house, Action.AUDIT_PRUNE, **{"start": 0, "end": 8, **how})
    prune(house, 0, 8, proposal=proposal)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal)
    house.seal()

    assert said(house.verify()) == [UNSAID]


def test_what_two_people_wanted_only_afterwards_is_found(house):
    house.later(days=200)
    done = uuid7()
    prune(house, 0, 8, proposal=done)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=done)
    house.seal()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(f"{__name__}.uuid7", lambda: done)
        agreed(house, Action.AUDIT_PRUNE, start=0, end=8)

    assert said(house.verify()) == [UNSAID]


def test_what_was_withdrawn_before_it_was_done_is_found(house):
    house.later(days=200)
    proposal = agreed(house, Action.AUDIT_PRUNE, start=0, end=8)
    with transaction.atomic():
        record(
            Action.PROPOSAL_DECIDE, by=Actor("staff", "lin", "x"), on=Proposal(id=proposal),
            at=house.now, kind="audit.prune", decision="withdrawn",
        )  # fmt: skip
    house.seal()
    prune(house, 0, 8, proposal=proposal)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal)
    house.seal()

    assert said(house.verify()) == [UNSAID]


@pytest.mark.parametrize("action", ["proposal.ask", "proposal.decide"])
def test_what_somebody_without_the_key_says_two_people_wanted_is_found(house, action):
    proposal = prune(house, 0, 8)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal)
    house.seal()
    assert house.verify().is_intact

    tamper("UPDATE audit_event SET mac = %s WHERE action = %s", [b"x", action])

    assert house.kinds() == ["mac", "pruned"]


def test_what_is_not_half_a_year_old_is_not_to_be_pruned(house):
    house.later(days=150)
    proposal = agreed(house, Action.AUDIT_PRUNE, start=0, end=8)
    prune(house, 0, 8, proposal=proposal)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal)
    house.seal()

    assert said(house.verify()) == [UNSAID]


def test_what_is_not_archived_is_not_to_be_pruned(house):
    proposal = prune(house, 0, 8, is_archived=False)
    archive(house, 0, 5)
    archive(house, 6, 8)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal)
    house.seal()
    assert said(house.verify()) == [UNSAID]

    archive(house, 5, 6)

    assert house.verify().is_intact


def test_what_a_pruning_left_is_not_to_go_afterwards(house):
    proposal = prune(house, 0, 8, kept=[3, 5])
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal, count=2)
    house.seal()
    assert house.verify().is_intact

    tamper("DELETE FROM audit_event WHERE id = %s", [at(5)])

    assert said(house.verify()) == ["封存序号 0 至 7 清理后应保留 2 条留痕，现在最多 1 条"]


def test_an_event_without_its_row_allows_nothing(house):
    gone = at(3)
    house.later(days=200)
    proposal = agreed(house, Action.AUDIT_PRUNE, start=0, end=8)
    archive(house, 0, 8)
    tamper("DELETE FROM audit_event WHERE id = %s", [gone])
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal)

    assert said(house.verify()) == [f"留痕 {gone} 在封存之后被删除"]


def test_an_event_before_the_range_it_names_allows_nothing(house):
    proposal = agreed(house, Action.AUDIT_PRUNE, start=28, end=30)
    tell(house, Action.AUDIT_PRUNE, start=28, end=30, proposal=proposal)
    house.seal(2)
    prune(house, 28, 30, proposal=proposal)

    assert house.kinds() == ["pruned"]


def test_an_event_whose_code_is_wrong_allows_nothing(house):
    proposal = prune(house, 0, 8)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal)
    pk = Event.objects.latest("id").pk
    tamper("UPDATE audit_event SET mac = %s WHERE id = %s", [b"x", pk])

    assert house.kinds() == ["mac", "pruned"]


@pytest.mark.parametrize("facts", [[], None, {"start": ["a"], "end": 3}, {"end": 2**80}, "absent"])
@pytest.mark.parametrize("action", ["audit.prune", "audit.redact", "notary.begin"])
def test_an_event_that_states_nonsense_allows_nothing(house, action, facts):
    prune(house, 0, 8)
    row = Event.objects.get(pk=at(20))
    uid = "01234567-89ab-7def-8123-456789abcdef"
    line = {**json.loads(row.payload), "action": action, "facts": facts, "uid": uid}
    line["t"] += 200 * 86_400 * 10**6
    if facts == "absent":
        del line["facts"]
    text = canonical.line(line)
    Event(uid=UUID(uid), payload=text, mac=recording.mac(text), mac_key=1).save()
    house.seal()

    assert said(house.verify()) == [UNSAID]


def test_beyond_what_was_pruned_a_missing_event_is_found(house):
    proposal = prune(house, 0, 8)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=proposal)
    gone = at(8)
    tamper("DELETE FROM audit_event WHERE id = %s", [gone])

    assert said(house.verify()) == [f"留痕 {gone} 在封存之后被删除"]


def test_the_record_of_a_pruning_is_not_to_be_pruned(house):
    first = prune(house, 0, 8)
    tell(house, Action.AUDIT_PRUNE, start=0, end=8, proposal=first)
    house.seal(4)
    second = prune(house, 8, 32)
    tell(house, Action.AUDIT_PRUNE, start=8, end=32, proposal=second)
    house.seal()

    assert said(house.verify()) == [UNSAID]


def test_what_was_covered_as_the_trail_says_is_no_finding(house):
    facts = redact(house, 3)
    list_redacted(house, 3, facts["proposal"])
    tell(house, Action.AUDIT_REDACT, **facts)
    house.seal()

    verdict = house.verify(anchors=anchors(house))

    assert said(verdict) == []
    assert verdict.redacted == 1


def covered(house):
    return [f"留痕 {at(3)} 的内容已遮盖，留痕中却没有批准遮盖的记录"]


def test_what_was_covered_and_no_event_says_so_is_found(house):
    facts = redact(house, 3)
    list_redacted(house, 3, facts["proposal"])
    tell(house, Action.AUDIT_REDACT, **{**facts, "hash": "0" * 64})
    tell(house, Action.AUDIT_REDACT, **{**facts, "index": 4})
    tell(house, Action.AUDIT_REDACT, **{**facts, "proposal": uuid7()})

    assert said(house.verify()) == covered(house)


def test_what_was_covered_and_two_people_did_not_want_it_is_found(house):
    facts = redact(house, 3, proposal=uuid7())
    list_redacted(house, 3, facts["proposal"])
    tell(house, Action.AUDIT_REDACT, **facts)
    house.seal()

    assert said(house.verify()) == covered(house)


def test_what_was_covered_and_no_row_says_so_is_found(house):
    tell(house, Action.AUDIT_REDACT, **redact(house, 3))

    assert house.kinds() == ["columns", "leaf"]


def test_a_cover_over_another_hash_is_found(house):
    facts = redact(house, 3)
    tamper(
        "UPDATE audit_event SET payload = replace(payload, 'redacted\":\"', 'redacted\":\"0')"
        " WHERE id = %s", [at(3)],
    )  # fmt: skip
    list_redacted(house, 3, facts["proposal"])

    assert house.kinds() == ["columns", "leaf", "mac"]


# Whose signature it is


def test_the_key_of_a_log_that_was_left_behind_signs_nothing_new(house, tmp_path, settings):
    new = House(tmp_path, origin=f"{house.origin}/2", now=house.now)
    new.seal(5)
    settings.TRAIL_ORIGIN = new.origin
    both = [house.signer.verifier, new.signer.verifier]
    assert said(new.verify(verifiers=both)) == []

    root = bytes(log.Checkpoint.objects.get(size=31).root)
    body = Checkpoint(house.origin, 31, root).body()
    signed = str(Note(body, (house.signer.line(body),)))
    tamper("UPDATE audit_checkpoint SET note = %s WHERE size = 31", [signed])

    assert said(new.verify(verifiers=both)) == [
        "最近的检查点（31 条）不是以 TRAIL_ORIGIN 的名称签名的",
        "检查点（31 条）以旧日志的名称签名，超出了旧日志的范围",
    ]


def test_an_old_log_ends_where_the_new_one_says(house, tmp_path, settings):
    new = House(tmp_path, origin=f"{house.origin}/2", now=house.now)
    for count in (5, 5):
        new.seal(count)
    settings.TRAIL_ORIGIN = new.origin
    row = log.Checkpoint.objects.get(size=31)
    body = Checkpoint(house.origin, 31, bytes(row.root)).body()
    signed = str(Note(body, (house.signer.line(body),)))

    tamper("UPDATE audit_checkpoint SET note = %s WHERE size = 31", [signed])

    assert said(new.verify(verifiers=[house.signer.verifier, new.signer.verifier])) == [
        "检查点（31 条）以旧日志的名称签名，超出了旧日志的范围"
    ]


def late(house, *lines_, size=27):
    for line in lines_:
        tamper(
            "INSERT INTO audit_anchor (size, sink, at, receipt) VALUES (%s, 'witness', %s, %s)",
            [size, house.now, line],
        )


def test_a_forged_cosignature_beside_the_witness_own_changes_nothing(house):
    house.is_witness_away = True
    house.seal(2)
    body = note(log.Checkpoint.objects.get(size=27)).body
    seconds = int(house.now.timestamp())
    genuine, forged = (house.desk.signer.line(one, at=seconds) for one in (body, f"{body}x\n"))
    late(house, forged, genuine, forged, forged + genuine)
    house.later(minutes=20)

    assert said(house.verify(verifiers=house.verifiers)) == []


@pytest.mark.parametrize("seconds", [2**63, 2**64 - 1, None], ids=str)
def test_a_cosignature_of_the_future_is_found(house, seconds):
    house.seal(2)
    ahead = int((house.now + timedelta(minutes=6)).timestamp())
    body = note(log.Checkpoint.objects.get(size=27)).body
    late(house, house.desk.signer.line(body, at=seconds or ahead))

    assert said(house.verify(verifiers=house.verifiers)) == ["见证方签名的时间在将来"]


# What a column cannot hold


def test_an_anchor_of_a_time_that_never_comes_is_found(house):
    never = "infinity" if connection.vendor == "postgresql" else "soon"
    tamper("INSERT INTO audit_anchor (size, sink, at, receipt) VALUES (1, 'file', %s, '')", [never])

    assert house.kinds(verifiers=house.verifiers[:1]) == ["anchor"]


def test_a_checkpoint_of_a_time_that_never_comes_is_found(house):
    never = "infinity" if connection.vendor == "postgresql" else "soon"
    tamper("UPDATE audit_checkpoint SET created_at = %s WHERE size = 20", [never])

    assert "检查点（20 条）的时间不是时间" in said(house.verify())


@pytest.mark.parametrize("value", ["x'00'", "'x'", "1.5", "x'ff'"])
def test_a_leaf_of_what_is_no_number_is_found(house, value):
    if connection.vendor != "sqlite":
        pytest.skip("a number is a number there")
    tamper(f"INSERT INTO audit_leaf VALUES (25, {value}, x'00')")  # noqa: S608

    assert said(house.verify()) == ["封存序号 25 的事件编号不是数"]


def test_a_receipt_that_is_no_text_is_read_past(house):
    if connection.vendor != "sqlite":
        pytest.skip("a text is a text there")
    house.seal(2, witnessed=True)
    for size, receipt in (("27", "CAST(x'ff' AS TEXT)"), ("'x'", "x'00'"), ("x'00'", "'x'")):
        tamper(
            "INSERT INTO audit_anchor (size, sink, at, receipt)"  # noqa: S608
            f" VALUES ({size}, 'witness', '2026-11-20 08:00:00', {receipt})"
        )

    assert house.kinds(verifiers=house.verifiers) == ["anchor"]
    assert house.verify().kinds["anchor"] == 2


def test_an_event_of_the_future_that_waits_is_found(house):
    house.later(minutes=6)
    [ahead] = house.write()
    house.later(minutes=-6)

    assert said(house.verify()) == [f"留痕 {ahead} 的时间在将来"]


# What waits too long


def test_what_waits_for_a_minute_is_found(house):
    [late] = house.write()
    house.later(seconds=61)

    assert said(house.verify()) == [f"留痕 {late} 超过 60 秒没有封存"]


def test_what_is_sealed_and_not_signed_for_a_minute_is_found(house):
    house.seal(2)
    tamper("DELETE FROM audit_checkpoint WHERE size = 27")
    assert house.verify().is_intact
    house.later(seconds=61)

    assert said(house.verify()) == ["封存序号 25 起超过 60 秒没有签名"]


def test_tiles_that_are_not_over_the_leaves_are_found(house):
    tree = verification.Tree.load(signed=25)
    with transaction.atomic():
        tree.append((10**9 + n, leaf_hash(b"%d" % n)) for n in range(65_600))
    tamper("UPDATE audit_tile SET hashes = %s", [b"x" * 32 * 256])

    assert "tile" in house.kinds()


# Without keys, and going on


def test_without_a_key_the_signatures_are_not_believed(house):
    verdict = house.verify(verifiers=[])

    assert verdict.is_intact
    assert verdict.unsettled == ["没有留痕的公钥（TRAIL_VERIFIERS），签名未核验"]


def test_a_key_of_another_log_is_no_key(house):
    other = Signer("other.example", house.key)
    assert house.kinds(verifiers=[other.verifier]) == ["signature"]

    for row in log.Checkpoint.objects.all():
        body = note(row).body
        given = [str(Note(body, (other.line(body),))), row.size]
        tamper("UPDATE audit_checkpoint SET note = %s WHERE size = %s", given)

    assert house.kinds(verifiers=[other.verifier]) == ["signature"]


def test_it_goes_on_from_where_it_came_to(house):
    begin = house.verify().reached
    house.seal(5)

    verdict = house.verify(begin=begin, anchors=anchors(house))

    assert verdict.is_intact
    assert (verdict.sealed, verdict.signed, verdict.anchored) == (5, 30, 1)


def test_what_it_goes_on_from_is_compared_with_the_checkpoint(house, tmp_path):
    verified.write(tmp_path / "verified", house.verify().reached)
    begin = verified.read(tmp_path / "verified")
    assert verification.continued(begin)

    rewrite(7, with_key=True)
    rebuild(house, key=house.key)

    assert not verification.continued(begin)


@pytest.mark.parametrize("note", ["x", None], ids=["nothing", "what another says"])
def test_a_note_between_two_others_is_read_when_going_on(house, note):
    begin = house.verify().reached
    for _ in range(3):
        house.seal(2)
    first, middle, _ = log.Checkpoint.objects.filter(size__gt=begin.size).order_by("size")
    tamper(
        "UPDATE audit_checkpoint SET note = %s WHERE size = %s", [note or first.note, middle.size]
    )

    assert house.kinds(begin=begin) == ["signature"]


def test_an_anchor_over_what_is_not_read_again_is_compared_all_the_same(house):
    begin = house.verify().reached
    body = Checkpoint(house.origin, 12, b"x" * 32).body()
    other = Note(body, (house.signer.line(body),))

    assert house.kinds(begin=begin, anchors=[other]) == ["forked"]


def test_more_findings_than_can_be_read_are_counted(house, monkeypatch):
    monkeypatch.setattr("hospital.audit.verdict.KEPT", 3)
    tamper("UPDATE audit_event SET mac = %s", [b"x"])

    verdict = house.verify()

    assert verdict.count == 25
    assert len(verdict.findings) == 3


# The command


@pytest.fixture
def configured(house, settings, tmp_path, monkeypatch):
    settings.TRAIL_VERIFIERS = [str(house.signer.verifier)]
    settings.VERIFIED_STATE = tmp_path / "verified"
    monkeypatch.setattr("django.utils.timezone.now", lambda: house.now)
    return settings


def verify(*options):
    """Run the command; return its exit code."""
    try:
        call_command("verifyaudit", *options)
    except CommandError as exc:
        return exc.returncode
    return 0


def recorded():
    return json.loads(Event.objects.filter(action="audit.verify").latest("id").payload)


def test_the_command_says_that_without_an_anchor_it_proves_less(configured, house, capsys):
    assert verify() == 0
    assert "没有外部锚点可比对" in capsys.readouterr().out

    assert verify("--anchor", str(house.anchor_file.path)) == 0
    out = capsys.readouterr().out
    assert "仅自洽" not in out
    assert "外部锚点相符 1 个" in out


def test_the_command_names_the_rows_and_fails(configured, house, capsys):
    row = rewrite(7)

    assert verify() == 1
    assert f"✗ 留痕 {row} 校验码不符" in capsys.readouterr().out
    assert recorded()["outcome"] == "failed"
    assert recorded()["facts"] == {
        "count": 25, "findings": 2, "is_anchored": False, "is_full": True, "size": 25,
    }  # fmt: skip


def test_the_command_speaks_to_machines(configured, house, capsys):
    cut(house)

    assert verify("--json", "--anchor", str(house.anchor_file.path)) == 1
    read = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in read["findings"]] == ["truncated"]
    assert read["only_self_consistent"]


def test_what_cannot_be_verified_is_neither_intact_nor_broken(configured, house, tmp_path, capsys):
    empty, strange = tmp_path / "empty", tmp_path / "strange"
    empty.write_text("")
    body = Checkpoint(house.origin, 25, b"x" * 32).body()
    stranger = Signer(house.origin, Ed25519PrivateKey.generate())
    strange.write_text(str(Note(body, (stranger.line(body),))))

    assert verify("--anchor", str(tmp_path / "missing")) == 2
    assert verify("--anchor", str(empty)) == 2
    assert verify("--anchor", str(strange)) == 2
    assert verify("--verifiers", str(strange)) == 2
    configured.TRAIL_VERIFIERS = ["x"]
    assert verify() == 2
    configured.TRAIL_VERIFIERS = []
    assert verify() == 2
    assert "签名未核验" in capsys.readouterr().out


def test_the_command_goes_on_and_says_so_in_the_trail(configured, house, capsys):
    assert verify("--incremental") == 0
    assert recorded()["facts"]["is_full"]
    house.seal(2)

    assert verify("--incremental") == 0
    assert not recorded()["facts"]["is_full"]
    assert verified.read(configured.VERIFIED_STATE).size == 28


def test_what_was_found_once_is_found_again(configured, house):
    verify("--incremental")
    house.seal(2)
    tamper("UPDATE audit_event SET mac = %s WHERE id = %s", [b"x", at(26)])

    assert verify("--incremental") == 1
    assert verify("--incremental") == 1


def unsign(place):
    """Have the checkpoint at this place, from the last one back, signed by a stranger."""
    row = log.Checkpoint.objects.order_by("-size")[place]
    body = Note.parse(row.note).body
    stranger = Signer("stranger", Ed25519PrivateKey.generate())
    note = str(Note(body, (stranger.line(body),)))
    tamper("UPDATE audit_checkpoint SET note = %s WHERE size = %s", [note, row.size])


def test_the_last_signature_speaks_for_those_before_it_until_everything_is_read(configured, house):
    verify()
    for _ in range(3):
        house.seal(2)
    unsign(1)

    assert verify("--incremental") == 0
    assert verify("--full") == 1


def test_a_last_signature_that_is_not_the_logs_is_found_when_going_on(configured, house):
    verify()
    for _ in range(3):
        house.seal(2)
    unsign(0)

    assert verify("--incremental") == 1
    assert (
        verified.read(configured.VERIFIED_STATE).size < log.Checkpoint.objects.latest("size").size
    )


def test_a_state_that_the_database_no_longer_contains_is_found_without_an_anchor(
    configured, house, capsys
):
    assert verify() == 0
    cut(house, down_to=10)

    assert verify("--incremental") == 1
    assert "✗ TRUNCATED 上次核验到第 25 条，数据库不再包含它" in capsys.readouterr().out
    assert verified.read(configured.VERIFIED_STATE).size == 25


def test_what_could_not_be_settled_is_not_gone_on_from(configured, house):
    configured.TRAIL_VERIFIERS = []

    assert verify() == 2
    assert not configured.VERIFIED_STATE.exists()


@pytest.mark.parametrize("spoilt", [slice(0, -30), slice(0, -33), slice(0, -1), slice(0, 20)])
def test_a_torn_note_spoils_no_anchor_and_is_told(configured, house, capsys, spoilt):
    path = house.anchor_file.path
    whole = path.read_bytes()
    path.write_bytes(whole[spoilt] + b"\n\xff\n" + whole)

    assert verify("--anchor", str(path)) == 0
    out = capsys.readouterr().out
    assert re.search("锚点文件中有 [12] 处残缺", out)
    assert "仅自洽" not in out


def test_a_state_nobody_can_read_is_begun_anew(configured, house):
    configured.VERIFIED_STATE.write_text('{"size": 3}')

    assert verify("--incremental") == 0
    assert recorded()["facts"]["is_full"]
