"""When the database lets an event go, or its text: whoever asks, and whatever the tables say."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, ProgrammingError, transaction
from uuid6 import uuid7

from hospital.audit import guards, proposing
from hospital.audit.actions import Action
from hospital.audit.keeping import periods, pruning, redacting
from hospital.audit.log import Leaf
from hospital.audit.models import Archive, Event, Proposal, Pruned, Redacted
from hospital.audit.proposing.kind import KINDS
from hospital.audit.recording import mac, record
from tests.hospital import aged
from tests.hospital.aged import (
    NOW,
    YEARS,
    approve,
    ask_to_prune,
    ask_to_redact,
    execute,
    sign,
    stored,
)
from tests.hospital.notarised import House

REMOVE = (
    "DELETE FROM audit_event WHERE id IN"
    ' (SELECT event_id FROM audit_leaf WHERE "index" >= 0 AND "index" < 10)'
)


@pytest.fixture(autouse=True, params=[aged.HERE])
def database(db):
    pass


@pytest.fixture
def house(tmp_path, settings):
    """Events of years ago, of which the tables say that they are archived."""
    house = aged.aged(tmp_path, settings)
    say_archived(0, 4)
    say_archived(4, 10)
    return house


def say_archived(start, end):
    Archive(
        start=start,
        end=end,
        root=b"r" * 32,
        name="x",
        size=1,
        sha256="0" * 64,
        sm3="0" * 64,
        at=NOW,
    ).save()


def claim(proposal_id, start=0, end=10):
    """Insert what says that a range is pruned, as somebody with the right to the table could."""
    Pruned(start=start, end=end, archive=1, proposal=proposal_id, at=NOW).save()


def refused(statement=REMOVE, parameters=()):
    return aged.refused(statement, parameters)


def test_saying_that_they_are_pruned_removes_nothing(house):
    claim(uuid7())

    assert refused()


@pytest.mark.parametrize("state", ["asked", "refused", "withdrawn", "expired", "done", "failed"])
def test_nor_does_a_request_nobody_approved(house, zhou, mei, state):
    proposal = ask_to_prune(zhou)
    Proposal.objects.filter(pk=proposal.pk).update(state=state, decided_by=mei.pk)
    claim(proposal.pk)

    assert refused()


def test_nor_an_approval_that_was_taken_back(house, zhou, mei):
    proposal = approve(house, ask_to_prune(zhou), mei)
    claim(proposal.pk)

    proposing.withdraw(proposal, by=zhou, at=NOW)

    assert refused()


def test_nor_an_approval_of_which_the_trail_knows_nothing(house, zhou, mei):
    proposal = ask_to_prune(zhou)
    Proposal.objects.filter(pk=proposal.pk).update(state="approved", decided_by=mei.pk)
    claim(proposal.pk)

    assert refused()


def test_nor_a_request_of_which_the_trail_knows_nothing(house, zhou, mei):
    proposal = Proposal.objects.create(
        kind="audit.prune",
        facts={"start": 0, "end": 10},
        reason="x",
        asked_by=zhou.pk,
        asked_at=NOW,
        expires_at=NOW + YEARS,
        state="asked",
    )
    approve(house, proposal, mei)
    claim(proposal.pk)

    assert refused()


def test_nor_an_approval_that_is_not_signed_yet(house, zhou, mei):
    proposal = proposing.decide(ask_to_prune(zhou), approves=True, by=mei, at=NOW)
    claim(proposal.pk)

    assert refused()
    house.now = NOW
    house.notary()._sequence(NOW)  # it has its leaf, and no checkpoint covers it
    assert refused()
    sign(house, proposal)
    assert execute(REMOVE) == 10


@pytest.mark.parametrize("answer", ["refused", "withdrawn"])
def test_nor_one_that_was_refused_whatever_the_row_says_later(house, zhou, mei, answer):
    proposal = ask_to_prune(zhou)
    if answer == "refused":
        proposing.decide(proposal, approves=False, by=mei, at=NOW)
    else:
        proposing.withdraw(approve(house, proposal, mei), by=zhou, at=NOW)
    Proposal.objects.filter(pk=proposal.pk).update(state="approved")
    with transaction.atomic():
        record(
            Action.PROPOSAL_DECIDE, by=mei, on=proposal, at=NOW, kind="audit.prune",
            decision="approved",
        )  # fmt: skip
    sign(house, proposal)
    claim(proposal.pk)

    assert refused()


def test_nor_an_approval_of_another_range(house, zhou, mei):
    proposal = approve(house, ask_to_prune(zhou, 0, 4), mei)
    claim(proposal.pk)

    assert refused()
    Proposal.objects.filter(pk=proposal.pk).update(facts={"start": 0, "end": 10})
    assert refused()


def test_nor_an_approval_by_who_asked(house, zhou, mei):
    proposal = approve(house, ask_to_prune(zhou), mei)
    claim(proposal.pk)
    with pytest.raises(IntegrityError, match="two_people"), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(asked_by=mei.pk)
    Proposal.objects.filter(pk=proposal.pk).update(decided_by=uuid7())

    assert refused()


def test_nor_an_approval_of_what_is_not_archived(house, zhou, mei):
    proposal = approve(house, ask_to_prune(zhou), mei)
    claim(proposal.pk)
    aged.forget_archives()

    assert refused()
    say_archived(0, 4)
    assert refused()


def recent(tmp_path, settings, *, recorded, signed):
    """Ten events, of which the tables say that they are archived."""
    house = aged.kept(House(tmp_path, now=recorded), settings)
    house.write(10)
    house.now = signed
    house.notary().step(now=house.now)
    say_archived(0, 10)
    return house


def outcome(house, zhou, mei):
    """Prune, though this process would have anything be old enough."""
    proposal = approve(house, ask_to_prune(zhou), mei)
    try:
        with transaction.atomic():
            pruning.carry_out(proposal, NOW)
    except pruning.DatabaseRefused:
        return "refused"
    return "done"


@pytest.mark.parametrize(
    ("recorded", "signed", "result"),
    [(190, 190, "done"), (178, 178, "refused"), (365, 178, "refused"), (178, 365, "refused")],
    ids=["old", "recent", "signed lately", "dated after it was signed"],
)
def test_the_database_keeps_the_six_months_itself(  # noqa: PLR0917
    tmp_path, settings, zhou, mei, monkeypatch, recorded, signed, result
):
    monkeypatch.setattr(periods, "due", lambda at: at)
    ago = [NOW - timedelta(days=days) for days in (recorded, signed)]
    house = recent(tmp_path, settings, recorded=ago[0], signed=ago[1])

    assert outcome(house, zhou, mei) == result

    assert len(stored(range(10))) == (0 if result == "done" else 10)


def test_what_the_database_refuses_has_failed(tmp_path, settings, zhou, mei, monkeypatch):
    monkeypatch.setattr(periods, "due", lambda at: at)
    monkeypatch.setattr(pruning.archiving, "verify", lambda _archive: None)
    kind = replace(pruning.KIND, prepare=lambda _facts: None)
    monkeypatch.setitem(KINDS, "audit.prune", kind)
    lately = NOW - timedelta(days=178)
    house = recent(tmp_path, settings, recorded=lately, signed=lately)

    proposal = proposing.carry_out(approve(house, ask_to_prune(zhou), mei), at=NOW)

    assert proposal.state == "failed"
    assert '"code":"database_refused"' in Event.objects.on(proposal).latest("id").payload


def test_with_everything_in_order_only_that_range_goes(house, zhou, mei):
    proposal = approve(house, ask_to_prune(zhou), mei)
    claim(proposal.pk)

    assert refused("DELETE FROM audit_event WHERE id IN (SELECT event_id FROM audit_leaf)")
    assert refused("UPDATE audit_event SET mac_key = 2")
    assert execute(REMOVE) == 10


def test_who_says_that_something_is_archived_pruned_or_redacted_says_it_once(house):
    claim(uuid7())
    Redacted(index=3, proposal=uuid7(), at=NOW).save()
    for table in ("audit_archive", "audit_pruned", "audit_redacted"):
        assert refused(f"DELETE FROM {table}")  # noqa: S608
        assert refused(f"UPDATE {table} SET at = at")  # noqa: S608


def test_the_guards_that_ask_are_as_they_should_be(house):
    assert guards.drift(aged.connection) == []


class TestPostgreSQL:
    pytestmark = aged.postgresql_only

    def test_a_session_that_says_it_is_a_replicas_is_asked_the_same(self, house):
        claim(uuid7())

        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            execute("SET LOCAL session_replication_role = replica")
            execute(REMOVE)

    def test_whoever_calls_the_functions_they_ask_the_triggers(self, house, zhou, mei):
        proposal = approve(house, ask_to_prune(zhou), mei)

        execute("SELECT audit_prune(%s)", [proposal.pk])  # nothing says it is pruned
        assert len(stored(range(10))) == 10
        claim(other := uuid7())
        assert refused("SELECT audit_prune(%s)", [other])

    def test_a_role_without_any_right_to_the_table_prunes_by_the_function(self, house, zhou, mei):
        proposal = approve(house, ask_to_prune(zhou), mei)
        claim(proposal.pk)
        execute("CREATE ROLE keeping_app")
        execute("GRANT EXECUTE ON FUNCTION audit_prune(uuid) TO keeping_app")

        execute("SET LOCAL ROLE keeping_app")
        with pytest.raises(ProgrammingError, match="permission denied"):
            execute(REMOVE)
        execute("SELECT audit_prune(%s)", [proposal.pk])
        execute("RESET ROLE")

        assert stored(range(10)) == []


# Redacting


def rewrite(index, payload):
    statement = (
        "UPDATE audit_event SET payload = %s, mac = %s, mac_key = 1"
        ' WHERE id = (SELECT event_id FROM audit_leaf WHERE "index" = %s)'
    )
    return statement, [payload, mac(payload), index]


def test_only_that_line_is_replaced_and_only_by_its_hash(house, zhou, mei):
    proposal = ask_to_redact(zhou, 3)
    leaf, other = (bytes(Leaf.objects.get(index=index).hash) for index in (3, 4))
    line = redacting.redacted(leaf)
    assert refused(*rewrite(3, line))
    Redacted(index=3, proposal=proposal.pk, at=NOW).save()
    assert refused(*rewrite(3, line))

    approve(house, proposal, mei)

    assert refused(*rewrite(3, '{"v":1}'))
    assert refused(*rewrite(3, redacting.redacted(b"x" * 32)))
    assert refused(*rewrite(4, line))
    assert refused(*rewrite(4, redacting.redacted(other)))
    assert refused("UPDATE audit_event SET mac_key = 2")
    assert refused("UPDATE audit_event SET uid = %s, payload = %s", [str(uuid7()), line])
    assert execute(*rewrite(3, line)) == 1
    assert refused(*rewrite(3, line))


def write(house, action, *, by, on=None):
    """Write and seal a line; return its index."""
    with transaction.atomic():
        pk = record(action, by=by, on=on, at=house.now).pk
    house.notary().step(now=house.now)
    return Leaf.objects.get(event_id=pk).index


@pytest.mark.parametrize(
    ("action", "who", "to_whom"),
    [
        (Action.EXPORT_DOWNLOAD, "chen", None),
        (Action.ROLE_ASSIGN, "chen", None),
        (Action.FORWARD_RESET, "chen", None),
        (Action.TERMINAL_RESUME, "zhou", None),
        (Action.TERMINAL_RESUME, "mei", None),
        (Action.TERMINAL_RESUME, "chen", "zhou"),
        (Action.TERMINAL_RESUME, "chen", "mei"),
        (Action.TERMINAL_RESUME, "chen", "chen"),
    ],
)
def test_the_database_asks_itself_what_may_be_redacted(  # noqa: PLR0917
    house, zhou, mei, chen, monkeypatch, action, who, to_whom
):
    people = {"zhou": zhou, "mei": mei, "chen": chen, None: None}
    index = write(house, action, by=people[who], on=people[to_whom])
    lax = replace(redacting.KIND, check=lambda _facts, _at: None, concerned=lambda _facts: set())
    monkeypatch.setitem(KINDS, "audit.redact", lax)
    proposal = approve(house, ask_to_redact(zhou, index), mei)
    Redacted(index=index, proposal=proposal.pk, at=NOW).save()

    statement = rewrite(index, redacting.redacted(bytes(Leaf.objects.get(index=index).hash)))

    if to_whom == "chen":
        assert execute(*statement) == 1
    else:
        assert refused(*statement)


def test_an_approval_of_one_line_is_none_of_another(house, zhou, mei):
    proposal = approve(house, ask_to_redact(zhou, 3), mei)
    Redacted(index=4, proposal=proposal.pk, at=NOW).save()

    line = redacting.redacted(bytes(Leaf.objects.get(index=4).hash))

    assert refused(*rewrite(4, line))
