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
from tests.hospital.aged import HERE, NOW, aged, approve, ask_to_redact, faults


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
    before = Tree.load().frontier.root()
    leaf = Leaf.objects.get(index=index)
    uid = Event.objects.get(pk=leaf.event_id).uid

    proposal = approve(ask_to_redact(zhou, index), mei)

    assert proposal.state == "done"
    event = Event.objects.get(pk=leaf.event_id)
    assert event.payload == f'{{"redacted":"{bytes(leaf.hash).hex()}","v":1}}'
    assert bytes(event.mac) == mac(event.payload)
    assert event.uid == uid
    assert (event.action, event.at_us) == (None, None)
    facts = json.loads(Event.objects.on(Redacted.objects.get()).get().payload)["facts"]
    assert (facts["index"], facts["hash"]) == (index, bytes(leaf.hash).hex())
    assert Tree.load().frontier.root() == before


def test_the_verifier_finds_nothing_wrong_with_that(house, zhou, mei):
    approve(ask_to_redact(zhou, leak(house)), mei)
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
    approve(ask_to_redact(zhou, 3), mei)

    with pytest.raises(redacting.NotThere):
        ask_to_redact(zhou, 3)


@pytest.mark.parametrize(
    "action", [Action.AUDIT_PRUNE, Action.PROPOSAL_DECIDE, Action.NOTARY_BEGIN]
)
def test_what_tells_of_the_trail_itself_is_not_redacted(house, zhou, action):
    house.now = NOW
    with transaction.atomic():
        pk = record(action, by=SYSTEM, on=None, at=house.now).pk
    house.notary().step(now=house.now)

    with pytest.raises(redacting.Protected):
        ask_to_redact(zhou, Leaf.objects.get(event_id=pk).index)
