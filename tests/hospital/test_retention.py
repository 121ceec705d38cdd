"""How long something is kept is changed by two people, within its lines; so is what stays."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.checks import Error
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from uuid6 import uuid7

from hospital import checks, retention
from hospital.audit import proposing
from hospital.audit.keeping import periods
from hospital.audit.models import Event, Proposal
from hospital.audit.proposing import NotAllowed
from hospital.categories import CATEGORIES, Clock, months_before
from hospital.patients import documents, enrolment
from hospital.patients.correcting import TellsWho
from hospital.patients.documents import DocumentType
from hospital.patients.models import Patient
from hospital.privacy import holding, placing, rules
from hospital.privacy import tasks as sweeping_tasks
from hospital.privacy.models import LegalHold, RetentionRule, RetentionRun
from tests import signing_in
from tests.conftest import recorded
from tests.hospital.aged import HERE, carried_out, kept
from tests.hospital.notarised import House

CHANGEABLE = [one for one in CATEGORIES if one.least < one.most]


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


@pytest.fixture
def house(tmp_path, settings):
    return kept(House(tmp_path, now=timezone.now()), settings)


@pytest.fixture
def zhang(db):
    person = enrolment.Person("张三", DocumentType.RESIDENT, "110101199003072211")
    return enrolment.enrol(person, accounts={}, campus="main", at=timezone.now())[0]


def done(house, proposal, by):
    with recorded():
        return carried_out(house, proposal, by)


def ask(key, value, by):
    return rules.ask(key, value, reason="信息科会议决定", by=by, at=timezone.now())


def at_desk(person):
    client = Client()
    client.force_login(person)
    signing_in.step_up(client, person)
    return client


def facts_of(action):
    [event] = Event.objects.filter(action=action)
    return json.loads(event.payload)["facts"]


# Periods.


@pytest.mark.parametrize("one", CHANGEABLE, ids=lambda one: one.key)
def test_nobody_gets_beyond_a_line(one, mei):
    for value in (one.least - 1, one.most + 1):
        with pytest.raises(rules.BeyondLine, match=one.label.split("（")[0]):
            ask(one.key, value, mei)

    assert not Proposal.objects.exists()
    tried = [
        json.loads(e.payload)["facts"]
        for e in Event.objects.filter(outcome="denied").order_by("id")
    ]
    assert [each["value"] for each in tried] == [one.least - 1, one.most + 1]
    assert {each["key"] for each in tried} == {f"retention.{one.key}"}


def test_what_is_fixed_stays_and_what_is_so_already_is_no_change(mei):
    with pytest.raises(rules.Fixed):
        ask("declining", 30, mei)
    with pytest.raises(rules.Unchanged):
        ask("session", 36, mei)


def test_one_asks_another_decides_and_it_holds(house, mei, gu):
    proposal = done(house, ask("wechat_account", 12, mei), gu)

    assert proposal.state == "done"
    assert retention.value("wechat_account") == 12
    assert facts_of("retention.change") == {
        "category": "wechat_account",
        "before": 24,
        "after": 12,
        "proposal": str(proposal.pk),
    }


@pytest.mark.parametrize("one", CHANGEABLE, ids=lambda one: one.key)
def test_who_decides_is_who_answers_for_it(one, mei, gu, zhou, lin):
    value = one.least if one.default != one.least else one.most
    proposal = ask(one.key, value, mei)

    decider = zhou if one.clock is Clock.EVIDENCE else gu
    for other in {mei, gu, zhou, lin} - {decider}:
        with pytest.raises((NotAllowed, proposing.SamePerson)):
            proposing.decide(proposal, approves=True, by=other, at=timezone.now())
    proposing.decide(proposal, approves=True, by=decider, at=timezone.now())


def test_evidence_is_not_asked_for_as_if_it_were_personal(mei):
    facts = {"category": "session", "value": 6}

    with pytest.raises(rules.NoSuchCategory):
        proposing.ask(rules.PERSONAL, facts, reason="改", by=mei, at=timezone.now())


def test_a_row_written_past_the_pages_holds_nothing_and_is_told(db):
    RetentionRule.objects.create(
        category="session", value=1, proposal=uuid7(), changed_at=timezone.now()
    )
    retention.forget()

    assert retention.value("session") == 36
    [found] = checks.periods_within_their_lines(databases=["default"])
    assert (found.id, type(found)) == ("hospital.E032", Error)
    sweeping_tasks.look_over_retention()
    assert facts_of("policy.change_rejected")["key"] == "retention.session"


@pytest.mark.parametrize(
    ("configured", "decided", "months"), [(6, 36, 36), (60, 36, 60), (1, 6, 6), (12, 24, 24)]
)
def test_the_trail_is_kept_for_the_longer_of_both(settings, configured, decided, months):
    settings.TRAIL_KEEP_MONTHS = configured
    RetentionRule.objects.create(
        category="trail", value=decided, proposal=uuid7(), changed_at=timezone.now()
    )
    retention.forget()
    at = datetime(2028, 2, 29, tzinfo=UTC)

    assert periods.due(at) == months_before(at, months)


# Legal holds.


def place(house, patient, gu, mei, days=30):
    until = timezone.localdate() + timedelta(days=days)
    facts = placing.stated(patient, until)
    asked = proposing.ask("hold.place", facts, reason="医患纠纷", by=gu, at=timezone.now())
    return done(house, asked, mei)


def test_two_people_hold_and_two_people_let_go(house, zhang, gu, mei):
    assert place(house, zhang, gu, mei).state == "done"
    hold = LegalHold.objects.get()
    with pytest.raises(holding.Held):
        holding.demand_free(zhang.pk, at=timezone.now())

    asked = proposing.ask("hold.lift", {"hold": hold.pk}, reason="已和解", by=gu, at=timezone.now())
    assert done(house, asked, mei).state == "done"

    holding.demand_free(zhang.pk, at=timezone.now())
    assert facts_of("hold.lift")["code"] == "lifted"
    assert facts_of("hold.place")["patient"] == str(zhang.pk)


def test_who_is_held_is_not_held_again(house, zhang, gu, mei):
    place(house, zhang, gu, mei)

    with pytest.raises(placing.AlreadyHeld):
        place(house, zhang, gu, mei, days=60)


@pytest.mark.parametrize("days", [-1, 0, placing.LONGEST + 1])
def test_a_hold_has_an_end_within_sight(zhang, gu, days):
    facts = placing.stated(zhang, timezone.localdate() + timedelta(days=days))

    with pytest.raises(placing.Unsuitable):
        proposing.ask("hold.place", facts, reason="纠纷", by=gu, at=timezone.now())


# Pages and command.


def test_the_schedule_shows_every_category(zhou):
    page = at_desk(zhou).get(reverse("admin:privacy_retentionrule_changelist")).content.decode()

    assert all(one.label in page and one.line in page for one in CATEGORIES)
    assert "由安全管理员申请修改" in page


def test_a_period_is_asked_for_on_its_page(mei):
    page = reverse("admin:privacy_retentionrule_change", args=["session"])
    client = at_desk(mei)

    beyond = client.post(page, {"value": "5", "note": "试试"}, follow=True)
    asked = client.post(page, {"value": "12", "note": "会议决定"}, follow=True)

    assert "6–60" in beyond.content.decode()
    [proposal] = Proposal.objects.all()
    assert proposal.facts == {"category": "session", "value": 12}
    assert "刷脸会话：改为 12 个月" in asked.content.decode()


def test_a_hold_is_asked_for_by_the_patients_number(zhang, gu):
    client = at_desk(gu)
    until = timezone.localdate() + timedelta(days=30)
    form = {"number": zhang.number.lower(), "until": f"{until}", "note": "投诉 2026-11"}

    asked = client.post(reverse("admin:privacy_legalhold_ask"), form, follow=True)

    told = asked.content.decode()
    assert f"患者 {documents.in_part(zhang.number)}，保全至 {until}" in told
    assert zhang.number not in told
    [proposal] = Proposal.objects.all()
    assert proposal.facts == {"patient": str(zhang.pk), "until": f"{until:%Y%m%d}"}


def test_anybody_who_answers_for_it_may_rehearse(gu):
    page = at_desk(gu).post(reverse("admin:privacy_retentionrun_rehearsal"), follow=True)

    assert "没有改动任何数据" in page.content.decode()
    [run] = RetentionRun.objects.all()
    assert (run.is_dry, run.state) == (True, "done")


def test_the_command_says_a_line_for_each_category(zhang):
    told = StringIO()
    call_command("sweepretention", "--dry-run", stdout=told)
    assert told.getvalue().count("到期 0 条") == len(CATEGORIES) - 2

    call_command("sweepretention", stdout=told)
    assert told.getvalue().count("已清理 0 / 0 条") == len(CATEGORIES) - 2
    assert Patient.objects.get().number == zhang.number


def test_the_command_gives_way_to_a_sweep_at_work(db):
    now = timezone.now()
    RetentionRun.objects.create(started_at=now, lease_until=now + timedelta(minutes=5))

    with pytest.raises(CommandError, match="正在进行"):
        call_command("sweepretention", stdout=StringIO())
    sweeping_tasks.sweep_retention.apply(throw=True)
    assert RetentionRun.objects.count() == 1


def test_a_hold_is_seen_and_asked_to_end_on_its_page(house, zhang, gu, mei):
    place(house, zhang, gu, mei)
    hold = LegalHold.objects.get()
    client = at_desk(gu)

    listed = client.get(reverse("admin:privacy_legalhold_changelist")).content.decode()
    page = client.get(reverse("admin:privacy_legalhold_change", args=[hold.pk])).content.decode()
    form = {"note": "已和解"}
    lifting = reverse("admin:privacy_legalhold_lifting", args=[hold.pk])
    asked = client.post(lifting, form, follow=True).content.decode()

    in_part = documents.in_part(zhang.number)
    assert in_part in listed
    assert "保全中" in listed
    assert "医患纠纷" in page
    assert "申请提前解除" in page
    assert f"患者 {in_part}，原保全至" in asked
    theirs = at_desk(mei).get(reverse("admin:privacy_legalhold_change", args=[hold.pk]))
    assert "申请提前解除" not in theirs.content.decode()


def test_who_decides_on_a_hold_is_not_shown_whose_it_is(house, zhang, gu, mei):
    place(house, zhang, gu, mei)
    hold = LegalHold.objects.get()
    lift = proposing.ask("hold.lift", {"hold": hold.pk}, reason="已和解", by=gu, at=timezone.now())

    for url in (
        reverse("admin:privacy_legalhold_changelist"),
        reverse("admin:privacy_legalhold_change", args=[hold.pk]),
        reverse("admin:audit_proposal_changelist"),
        *(reverse("admin:audit_proposal_change", args=[one]) for one in (hold.proposal, lift.pk)),
    ):
        assert zhang.number not in at_desk(mei).get(url).content.decode(), url


def test_the_reason_of_a_hold_does_not_say_who_it_is(zhang, gu):
    until = timezone.localdate() + timedelta(days=30)
    form = {"number": zhang.number, "until": f"{until}", "note": f"{zhang.real_name}起诉"}

    asked = at_desk(gu).post(reverse("admin:privacy_legalhold_ask"), form, follow=True)

    assert TellsWho.message in asked.content.decode()
    assert not Proposal.objects.exists()


def test_a_record_is_restricted_and_released_on_its_page(zhang, gu, chen):
    page = reverse("desk:restriction", args=[zhang.pk])
    client = at_desk(gu)

    restricted = client.post(page, {"code": "dispute"}, follow=True).content.decode()
    assert "限制处理" in restricted
    assert Patient.objects.get().restricted_at is not None
    assert facts_of("patient.restrict") == {"code": "dispute"}
    client.post(page, {"code": "dispute"})  # no reason to release anybody
    assert Patient.objects.get().restricted_at is not None

    client.post(page, {"code": "settled"})
    assert Patient.objects.get().restricted_at is None
    assert at_desk(chen).get(page).status_code == 403


def test_a_sweep_is_read_category_by_category(zhou):
    counts = {"session": {"due": 10, "gone": 4, "held": 2, "refused": "unavailable"}}
    run = RetentionRun.objects.create(
        started_at=timezone.now(), lease_until=timezone.now(), counts=counts
    )
    client = at_desk(zhou)

    listed = client.get(reverse("admin:privacy_retentionrun_changelist")).content.decode()
    page = client.get(reverse("admin:privacy_retentionrun_change", args=[run.pk])).content.decode()

    assert 'value="40"' in listed
    assert "刷脸会话" in page
    assert "没有清理完，下一次继续（unavailable）" in page
