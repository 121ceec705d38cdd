"""A value that should never have been written goes out of an event. Its place in the log stays."""

import json

import pytest
from django.db import transaction
from django.utils import timezone

from hospital.audit import proposing
from hospital.audit.actions import Action
from hospital.audit.keeping import redacting
from hospital.audit.log import Leaf
from hospital.audit.models import Event, Redacted
from hospital.audit.recording import SYSTEM, mac, record
from hospital.audit.tree import Tree
from tests.hospital.aged import HERE, NOW, aged, ask_to_redact, faults, redact


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


@pytest.fixture
def house(tmp_path, settings):
    return aged(tmp_path, settings)


def leak(house):
    """Write a line that should not have been written; return its index."""
    with transaction.atomic():
        pk = record(
            Action.TERMINAL_SUSPEND, by=SYSTEM, on=None, at=house.now, reason="张三摔坏了"
        ).pk
    house.notary().step(now=house.now)
    return Leaf.objects.get(event_id=pk).index


def test_a_leaked_value_goes_and_its_place_stays(house, zhou, mei):
    index = leak(house)
    before = Tree.load()
    leaf = Leaf.objects.get(index=index)
    uid = Event.objects.get(pk=leaf.event_id).uid

    proposal = redact(house, zhou, mei, index)

    assert proposal.state == "done"
    event = Event.objects.get(pk=leaf.event_id)
    assert event.payload == f'{{"redacted":"{bytes(leaf.hash).hex()}","v":1}}'
    assert bytes(event.mac) == mac(event.payload)
    assert event.uid == uid
    assert (event.action, event.at_us) == (None, None)
    facts = json.loads(Event.objects.on(Redacted.objects.get()).get().payload)["facts"]
    assert (facts["index"], facts["hash"]) == (index, bytes(leaf.hash).hex())
    assert Tree.load().root_at(before.size) == before.frontier.root()


def test_the_verifier_finds_nothing_wrong_with_that(house, zhou, mei):
    redact(house, zhou, mei, leak(house))
    house.now = timezone.now()
    house.notary().step(now=house.now)

    assert faults(house) == []


@pytest.mark.parametrize(
    "facts", [{"index": 3, "hash": "00" * 32}, {"index": 99, "hash": "00" * 32}]
)
def test_only_a_line_that_is_there_and_named_by_its_hash(house, zhou, facts):
    with pytest.raises(redacting.NoSuchLine):
        proposing.ask("audit.redact", facts, reason="测试", by=zhou, at=NOW)


def test_nothing_is_redacted_twice(house, zhou, mei):
    redact(house, zhou, mei, 3)

    with pytest.raises(redacting.NotThere):
        ask_to_redact(zhou, 3)


@pytest.mark.parametrize(
    "action",
    [
        Action.AUDIT_PRUNE,
        Action.PROPOSAL_DECIDE,
        Action.NOTARY_BEGIN,
        Action.TRAIL_READ,
        Action.EXPORT_DOWNLOAD,
        Action.FINDING_SETTLE,
        Action.REVIEW_SIGN,
        Action.FORWARD_RESET,
        Action.DATABASE_GRANT,
        Action.ROLE_ASSIGN,
        Action.STAFF_CHANGE,
        Action.STEP_UP,
        Action.ACCESS_DENIED,
        Action.KEYS_ROTATE_BEGIN,
        Action.EVIDENCE_COLLECT,
        Action.REQUEST_ABORT,
    ],
)
def test_what_tells_of_the_trail_or_of_those_who_keep_it_is_not_redacted(house, zhou, action):
    index = written(house, action, by=SYSTEM)

    with pytest.raises(redacting.Protected):
        ask_to_redact(zhou, index)


def written(house, action, *, by, on=None, **facts):
    """Write and seal a line; return its index."""
    house.now = NOW
    with transaction.atomic():
        pk = record(action, by=by, on=on, at=house.now, **facts).pk
    house.notary().step(now=house.now)
    return Leaf.objects.get(event_id=pk).index


def test_nobody_asks_to_redact_what_they_did_or_what_was_done_to_them(house, zhou, mei):
    for index in (
        written(house, Action.TERMINAL_RESUME, by=zhou),
        written(house, Action.TERMINAL_RESUME, by=mei, on=zhou),
    ):
        with pytest.raises(proposing.OwnAct):
            ask_to_redact(zhou, index)


def test_nobody_approves_to_redact_what_they_did(house, zhou, mei):
    proposal = ask_to_redact(zhou, written(house, Action.TERMINAL_RESUME, by=mei))

    with pytest.raises(proposing.OwnAct):
        proposing.decide(proposal, approves=True, by=mei, at=NOW)
