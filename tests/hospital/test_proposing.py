"""What takes two people: one asks, another one decides, once, in time, and it is on record."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from hospital.audit import alarms, proposing, recording
from hospital.audit.canonical import NotAFact
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind
from hospital.audit.proposing.kind import KINDS
from hospital.errors import Refusal
from hospital.roles import GRANTS, May
from tests.hospital.notarised import House

AT = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


class Unfit(Refusal):
    code = "unfit"


class Deed:
    """An act of a test's own: how often it was done, and what it refuses."""

    def __init__(self):
        self.done = 0
        self.refuses_to_be_asked = self.refuses_to_be_done = False

    def check(self, _facts, _at):
        if self.refuses_to_be_asked:
            raise Unfit

    def carry_out(self, _proposal, _at):
        if self.refuses_to_be_done:
            raise Unfit
        self.done += 1


@pytest.fixture
def house(tmp_path, db):
    return House(tmp_path, now=LATER)


@pytest.fixture
def deed(monkeypatch):
    deed = Deed()
    kind = Kind(
        tag="test.act",
        label="试验",
        asks=May.KEEP_TRAIL,
        decides=May.APPROVE_KEEPING,
        facts=frozenset({"index"}),
        check=deed.check,
        carry_out=deed.carry_out,
    )
    monkeypatch.setitem(KINDS, kind.tag, kind)
    return deed


def ask(by, *, index=7, reason="测试", at=AT):
    return proposing.ask("test.act", {"index": index}, reason=reason, by=by, at=at)


def approve(proposal, by, at=LATER):
    return proposing.decide(proposal, approves=True, by=by, at=at)


def do(house, proposal, by):
    """Have it approved, signed and done."""
    return proposing.carry_out(sign(house, approve(proposal, by)), at=LATER)


def sign(house, proposal):
    house.notary().step(now=house.now)
    return proposal


def told(proposal):
    """Return what the trail says of it: action, actor and facts, in order."""
    events = Event.objects.on(proposal).order_by("id")
    return [
        (event.action, event.actor_id, json.loads(event.payload)["facts"].get("decision"))
        for event in events
    ]


def test_what_one_asked_and_another_approved_is_done(deed, zhou, mei, house):
    proposal = ask(zhou)

    do(house, proposal, mei)

    assert deed.done == 1
    assert (proposal.state, proposal.decided_by) == ("done", mei.pk)
    assert (proposal.decided_at, proposal.done_at) == (LATER, LATER)
    assert told(proposal) == [
        ("proposal.ask", str(zhou.pk), None),
        ("proposal.decide", str(mei.pk), "approved"),
        ("proposal.decide", "", "done"),
    ]


def test_what_is_approved_waits_until_the_log_has_signed_it(deed, zhou, mei, house):
    proposal = approve(ask(zhou), mei)

    with pytest.raises(proposing.NotSealed):
        proposing.carry_out(proposal, at=LATER)
    house.notary()._sequence(LATER)
    assert proposing.carry_out_approved(at=LATER) == []
    assert (Proposal.objects.get().state, deed.done) == ("approved", 0)

    sign(house, proposal)
    assert proposing.carry_out_approved(at=LATER) == [proposal]
    assert deed.done == 1


def test_what_somebody_without_the_trails_key_said_is_not_done(deed, zhou, mei, house, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(recording, "mac", lambda _payload: b"x" * 32)
        proposal = ask(zhou)

    do(house, proposal, mei)

    assert (proposal.state, deed.done) == ("failed", 0)
    assert '"code":"proposal_not_genuine"' in Event.objects.on(proposal).latest("id").payload


def test_what_another_account_has_to_do_stays_approved(deed, zhou, mei, house, monkeypatch):
    kind = replace(KINDS["test.act"], is_ours=lambda: False)
    monkeypatch.setitem(KINDS, kind.tag, kind)
    proposal = sign(house, approve(ask(zhou), mei))

    assert proposing.carry_out_approved(at=LATER) == []

    assert (Proposal.objects.get().state, deed.done) == ("approved", 0)
    assert proposing.left(at=LATER) == [proposal]


def test_the_reason_is_on_record(deed, zhou):
    proposal = ask(zhou, reason="  磁盘将满 ")

    assert proposal.reason == "磁盘将满"
    assert '"reason":"磁盘将满"' in Event.objects.on(proposal).get().payload


def test_without_a_reason_nothing_is_asked(deed, zhou):
    with pytest.raises(proposing.NoReason):
        ask(zhou, reason="  ")

    assert not Proposal.objects.exists()


def test_what_is_not_approved_is_not_done(deed, zhou, mei):
    proposal = ask(zhou)

    proposing.decide(proposal, approves=False, by=mei, at=LATER)

    assert (proposal.state, deed.done) == ("refused", 0)
    with pytest.raises(proposing.NotOpen):
        approve(proposal, mei)


@pytest.mark.parametrize("who", ["mei", "lin", "chen", "gu"])
def test_only_who_has_the_right_may_ask(deed, request, who):
    with pytest.raises(proposing.NotAllowed):
        ask(request.getfixturevalue(who))


@pytest.mark.parametrize("who", ["zhou", "lin", "chen", "gu"])
def test_only_who_has_the_right_may_decide(deed, request, zhou, who):
    proposal = ask(zhou)

    with pytest.raises(proposing.NotAllowed):
        approve(proposal, request.getfixturevalue(who))

    assert Proposal.objects.get().state == "asked"


def test_who_was_stopped_decides_nothing(deed, zhou, mei):
    proposal = ask(zhou)
    mei.is_active = False

    with pytest.raises(proposing.NotAllowed):
        approve(proposal, mei)


def test_nobody_approves_what_they_asked_for_even_in_another_role(deed, zhou):
    proposal = ask(zhou)
    zhou.role = "security"
    zhou.save()

    with pytest.raises(proposing.SamePerson):
        approve(proposal, zhou)

    assert (Proposal.objects.get().state, deed.done) == ("asked", 0)


def test_the_database_wants_two_people_as_well(deed, zhou):
    proposal = ask(zhou)

    with pytest.raises(IntegrityError), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(state="approved", decided_by=zhou.pk)


def test_no_role_may_both_ask_and_decide():
    for kind in proposing.kinds():
        assert not any({kind.asks, kind.decides} <= held for held in GRANTS.values())


@pytest.mark.parametrize("rights", [(May.READ_TRAIL, May.KEEP_TRAIL), (May.KEEP_TRAIL,) * 2])
def test_a_kind_that_one_person_could_do_alone_is_not_registered(deed, rights):
    kind = replace(KINDS["test.act"], tag="test.alone", asks=rights[0], decides=rights[1])

    with pytest.raises(ValueError, match="ask and decide"):
        proposing.register(kind)


def test_two_kinds_of_one_name_are_not_registered(deed):
    kind = replace(KINDS["test.act"], label="别的")

    with pytest.raises(ValueError, match="already"):
        proposing.register(kind)


def test_what_nobody_decided_within_seven_days_is_over(deed, zhou, mei):
    proposal = ask(zhou)
    late = AT + timedelta(days=7)

    with pytest.raises(proposing.Expired):
        approve(proposal, mei, at=late)
    assert proposing.expire(at=late - timedelta(seconds=1)) == 0
    assert proposing.expire(at=late) == 1
    assert proposing.expire(at=late) == 0

    proposal.refresh_from_db()
    assert proposal.state == "expired"
    assert told(proposal)[-1] == ("proposal.decide", "", "expired")
    with pytest.raises(proposing.Expired):
        approve(proposal, mei, at=late)


def test_who_asked_may_take_it_back(deed, zhou, mei):
    proposal = ask(zhou)

    proposing.withdraw(proposal, by=zhou, at=LATER)

    assert told(proposal)[-1] == ("proposal.decide", str(zhou.pk), "withdrawn")
    with pytest.raises(proposing.NotOpen):
        approve(proposal, mei)
    with pytest.raises(proposing.NotOpen):
        proposing.withdraw(proposal, by=zhou, at=LATER)


def test_nobody_else_may(deed, zhou, mei):
    proposal = ask(zhou)

    with pytest.raises(proposing.NotAsker):
        proposing.withdraw(proposal, by=mei, at=LATER)


def test_what_is_approved_but_not_done_yet_may_be_taken_back(deed, zhou, mei, house):
    proposal = sign(house, approve(ask(zhou), mei))

    proposing.withdraw(proposal, by=zhou, at=LATER)

    with pytest.raises(proposing.NotOpen):
        proposing.carry_out(proposal, at=LATER)
    assert deed.done == 0


def test_what_was_asked_by_somebody_no_longer_in_office_is_refused_and_never_approved(
    deed, zhou, mei
):
    proposal = ask(zhou)
    zhou.role = ""
    zhou.save()

    with pytest.raises(proposing.AskerGone):
        approve(proposal, mei)

    assert proposing.decide(proposal, approves=False, by=mei, at=LATER).state == "refused"


def test_an_approval_ends_with_the_office_of_whoever_asked(deed, zhou, mei, house):
    proposal = sign(house, approve(ask(zhou), mei))
    assert proposing.expire(at=LATER) == 0
    zhou.role = "security"
    zhou.save()

    assert proposing.expire(at=LATER) == 1

    proposal.refresh_from_db()
    assert proposal.state == "expired"


def test_it_is_done_once(deed, zhou, mei, house):
    proposal = do(house, ask(zhou), mei)

    with pytest.raises(proposing.NotOpen):
        proposing.carry_out(proposal, at=LATER)

    assert deed.done == 1


def test_what_cannot_be_done_any_more_says_so(deed, zhou, mei, house):
    deed.refuses_to_be_done = True

    proposal = do(house, ask(zhou), mei)

    assert proposal.state == "failed"
    last = Event.objects.on(proposal).latest("id")
    assert last.outcome == "failed"
    assert '"code":"unfit"' in last.payload


def test_what_may_not_be_asked_is_not(deed, zhou):
    deed.refuses_to_be_asked = True

    with pytest.raises(Unfit):
        ask(zhou)

    assert not Proposal.objects.exists()


def test_the_same_is_not_asked_twice_at_a_time(deed, zhou, mei):
    first = ask(zhou)
    with pytest.raises(proposing.AlreadyAsked):
        ask(zhou)
    ask(zhou, index=8)

    proposing.decide(first, approves=False, by=mei, at=LATER)

    ask(zhou)


@pytest.mark.parametrize("facts", [{}, {"index": 7, "name": 1}, {"name": 7}])
def test_a_request_states_its_facts_and_no_others(deed, zhou, facts):
    with pytest.raises(ValueError, match="states index"):
        proposing.ask("test.act", facts, reason="测试", by=zhou, at=AT)


def test_a_request_states_nobodys_name(deed, zhou):
    with pytest.raises(NotAFact):
        ask(zhou, index="张三")


class Concerning:
    """Whom the act of a test concerns."""

    def __init__(self, monkeypatch, *people):
        kind = replace(
            KINDS["test.act"],
            concerned=lambda _facts: frozenset(str(person.pk) for person in people),
        )
        monkeypatch.setitem(KINDS, kind.tag, kind)


def test_nobody_asks_for_what_concerns_themselves(deed, zhou, monkeypatch):
    Concerning(monkeypatch, zhou)

    with pytest.raises(proposing.OwnAct):
        ask(zhou)

    assert not Proposal.objects.exists()


def test_nobody_approves_what_concerns_themselves_but_may_refuse_it(deed, zhou, mei, monkeypatch):
    proposal = ask(zhou)
    Concerning(monkeypatch, mei)

    with pytest.raises(proposing.OwnAct):
        approve(proposal, mei)
    assert Proposal.objects.get().state == "asked"

    assert proposing.decide(proposal, approves=False, by=mei, at=LATER).state == "refused"


@pytest.mark.parametrize("who", ["zhou", "mei"])
def test_what_concerns_one_of_the_two_is_not_done_though_approved(  # noqa: PLR0917
    deed, zhou, mei, house, monkeypatch, who
):
    proposal = sign(house, approve(ask(zhou), mei))
    Concerning(monkeypatch, {"zhou": zhou, "mei": mei}[who])

    proposing.carry_out(proposal, at=LATER)

    assert (proposal.state, deed.done) == ("failed", 0)
    assert proposing.why_failed(proposal) == "proposal_own_act"


def test_an_approval_nobody_carried_out_within_thirty_days_is_over(deed, zhou, mei, house):
    proposal = sign(house, approve(ask(zhou), mei))
    late = LATER + timedelta(days=30)

    assert proposing.expire(at=late - timedelta(seconds=1)) == 0
    assert proposing.carry_out_approved(at=late) == []
    with pytest.raises(proposing.Expired):
        proposing.carry_out(proposal, at=late)
    assert (proposing.expire(at=late), proposing.expire(at=late)) == (1, 0)

    proposal.refresh_from_db()
    assert (proposal.state, deed.done) == ("expired", 0)
    assert told(proposal)[-1] == ("proposal.decide", "", "expired")
    assert ask(zhou, at=late).state == "asked"


@pytest.mark.parametrize("who", ["zhou", "mei"])
def test_an_approval_of_which_one_person_has_gone_is_over(deed, zhou, mei, house, who):
    sign(house, approve(ask(zhou), mei))
    gone = {"zhou": zhou, "mei": mei}[who]
    assert proposing.expire(at=LATER) == 0
    gone.is_active = False
    gone.save()

    assert proposing.expire(at=LATER) == 1

    assert proposing.carry_out_approved(at=LATER) == []
    assert (Proposal.objects.get().state, deed.done) == ("expired", 0)


def test_what_failed_is_a_finding_and_once(deed, zhou, mei, house):
    deed.refuses_to_be_done = True
    proposal = do(house, ask(zhou), mei)

    for _ in range(2):
        alarms.watch(at=LATER)

    finding = Finding.objects.get(kind="proposal-failed")
    assert (finding.facts["proposal"], finding.facts["code"]) == (str(proposal.pk), "unfit")


def test_what_was_done_is_no_finding(deed, zhou, mei, house):
    do(house, ask(zhou), mei)

    alarms.watch(at=LATER)

    assert not Finding.objects.filter(kind="proposal-failed").exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("second", [True, False], ids=["two approvals", "one refuses"])
def test_two_answers_at_once_are_one(deed, zhou, mei, second):
    if connection.vendor != "postgresql":
        pytest.skip("locks")
    proposal = ask(zhou)

    def answer(approves):
        try:
            proposing.decide(
                Proposal.objects.get(pk=proposal.pk), approves=approves, by=mei, at=LATER
            )
        except proposing.NotOpen:
            return 0
        finally:
            connection.close()
        return 1

    with ThreadPoolExecutor(2) as pool:
        answers = sum(pool.map(answer, [True, second]))

    assert answers == 1
    assert len(told(proposal)) == 2
