"""A role takes two people to give, and one to take away; so does a new way in."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import make_password
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital.accounts import granting, resetting, succession
from hospital.accounts.models import Staff
from hospital.audit import proposing, tasks
from hospital.audit.models import Event, Proposal
from hospital.audit.proposing import NotAllowed, OwnAct, SamePerson
from hospital.labels import Label
from hospital.roles import ADMINISTRATORS, GRANTS, May, Role
from tests import signing_in
from tests.conftest import PASSWORD
from tests.hospital.aged import HERE, carried_out, kept, postgresql_only
from tests.hospital.notarised import House

NOW = timezone.now()


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


@pytest.fixture
def house(tmp_path, settings):
    return kept(House(tmp_path, now=NOW), settings)


@pytest.fixture
def wang(db):
    """Somebody new: no role yet."""
    return Staff.objects.create_user("wang", PASSWORD, display_name="王", person_id="E-wang")


@pytest.fixture
def he(db):
    """Of a supplier, here for a week."""
    return Staff.objects.create_user(
        "he",
        PASSWORD,
        display_name="何",
        person_id="V-he",
        is_vendor=True,
        valid_until=NOW + timedelta(days=7),
    )


def ask(by, staff, role=Role.REGISTRAR, campus="main", clearance=Label.IDENTIFYING):
    given = {"role": role, "campus": campus, "clearance": int(clearance)}
    facts = granting.stated(staff, given)
    return proposing.ask("role.grant", facts, reason="新到岗", by=by, at=timezone.now())


def ask_reset(by, staff):
    facts = {"staff": staff.pk}
    return proposing.ask("staff.reset", facts, reason="手机丢失", by=by, at=timezone.now())


def at_desk(person, *, fresh=False):
    client = Client()
    client.force_login(person)
    if fresh:
        signing_in.step_up(client, person)
    return client


def page(name, staff):
    return reverse(f"admin:accounts_staff_{name}", args=[staff.pk])


def facts_of(action):
    [event] = Event.objects.filter(action=action)
    return json.loads(event.payload)["facts"]


def test_one_asks_another_approves_and_the_role_is_theirs(house, mei, lin, wang):
    proposal = carried_out(house, ask(mei, wang), lin)

    wang.refresh_from_db()
    assert proposal.state == "done"
    assert (wang.role, wang.campus, wang.clearance) == ("registrar", "main", Label.IDENTIFYING)
    assert facts_of("role.assign") == {
        "before": "",
        "after": "registrar",
        "campus": "main",
        "clearance": 4,
        "proposal": str(proposal.pk),
    }


def test_until_then_nothing_has_changed(house, mei, lin, wang):
    proposing.decide(ask(mei, wang), approves=True, by=lin, at=timezone.now())

    tasks.attend_to_proposals.apply(throw=True)  # nobody has signed it

    wang.refresh_from_db()
    assert wang.role == ""


def test_who_asked_does_not_approve_whatever_they_are_by_now(mei, lin, zhou, wang):
    proposal = ask(mei, wang)
    Staff.objects.filter(pk=mei.pk).update(role=Role.SYSTEM)
    mei.refresh_from_db()

    with pytest.raises(SamePerson):
        proposing.decide(proposal, approves=True, by=mei, at=timezone.now())


def test_nobody_has_a_part_in_a_role_of_their_own(mei, lin):
    with pytest.raises(OwnAct):
        ask(mei, mei, Role.SYSTEM, "", Label.INTERNAL)

    proposal = ask(mei, lin, Role.SECURITY, "", Label.INTERNAL)
    with pytest.raises(OwnAct):
        proposing.decide(proposal, approves=True, by=lin, at=timezone.now())


@pytest.mark.parametrize("who", ["lin", "zhou", "chen", "gu"])
def test_nobody_else_asks(who, request, wang):
    with pytest.raises(NotAllowed):
        ask(request.getfixturevalue(who), wang)


@pytest.mark.parametrize("who", ["zhou", "chen", "gu"])
def test_nobody_else_approves(who, request, mei, wang):
    with pytest.raises(NotAllowed):
        proposing.decide(
            ask(mei, wang), approves=True, by=request.getfixturevalue(who), at=timezone.now()
        )


def test_the_sealed_role_is_granted_to_nobody(mei, wang):
    with pytest.raises(granting.NotGrantable):
        ask(mei, wang, Role.EMERGENCY, "", Label.INTERNAL)


def test_the_sealed_account_becomes_nobodys(mei, wang):
    Staff.objects.filter(pk=wang.pk).update(role=Role.EMERGENCY)

    with pytest.raises(granting.NotGrantable):
        ask(mei, wang)
    with pytest.raises(granting.NotGrantable):
        granting.take_away(wang, by=mei, at=NOW)


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (("root", "", Label.INTERNAL), granting.NotGrantable),
        ((Role.REGISTRAR, "", Label.IDENTIFYING), granting.CampusNeeded),
        ((Role.REGISTRAR, "moon", Label.IDENTIFYING), granting.CampusNeeded),
        ((Role.PRIVACY, "main", Label.SENSITIVE), granting.CampusNeeded),
        ((Role.REGISTRAR, "main", 9), granting.LabelUnfit),
        *[((role, "", Label.SENSITIVE), granting.LabelUnfit) for role in ADMINISTRATORS],
        ((Role.REGISTRAR, "main", Label.INTERNAL), granting.LabelUnfit),
        ((Role.PRIVACY, "", Label.INTERNAL), granting.LabelUnfit),
        (("", "", Label.INTERNAL), granting.NotGrantable),
    ],
)
def test_what_does_not_go_together_is_refused(mei, wang, wanted, refusal):
    with pytest.raises(refusal):
        ask(mei, wang, *wanted)


def test_a_vendor_may_only_look_at_the_system(house, mei, lin, he):
    with pytest.raises(granting.OfVendor):
        ask(mei, he)

    carried_out(house, ask(mei, he, Role.SYSTEM, "", Label.INTERNAL), lin)

    he.refresh_from_db()
    assert [right for right in May if he.may(right)] == [May.VIEW_SYSTEM]


def test_who_is_stopped_meanwhile_is_given_nothing(house, mei, lin, wang):
    proposal = ask(mei, wang)
    Staff.objects.filter(pk=wang.pk).update(is_active=False)

    carried_out(house, proposal, lin)

    wang.refresh_from_db()
    assert (proposal.state, wang.role) == ("failed", "")


def test_to_be_given_what_one_has_is_refused(mei, chen):
    with pytest.raises(granting.HeldAlready):
        ask(mei, chen)


def test_another_campus_takes_two_as_well_and_ends_the_session(house, mei, lin, chen):
    client = at_desk(chen)
    assert client.get("/admin/patients/patient/").status_code == 200

    carried_out(house, ask(mei, chen, campus="east"), lin)

    assert client.get("/admin/patients/patient/").status_code == 302


def test_what_is_given_back_brings_no_session_back(house, mei, lin, chen):
    client = at_desk(chen)
    assert client.get("/admin/patients/patient/").status_code == 200

    granting.take_away(chen, by=mei, at=timezone.now())
    carried_out(house, ask(mei, chen), lin)

    chen.refresh_from_db()
    assert chen.role == "registrar"
    assert client.get("/admin/patients/patient/").status_code == 302


def test_there_and_back_again_brings_no_session_back(house, mei, lin, chen):
    client = at_desk(chen)
    assert client.get("/admin/patients/patient/").status_code == 200

    for campus in ("east", "main"):
        carried_out(house, ask(mei, chen, campus=campus), lin)

    chen.refresh_from_db()
    assert chen.campus == "main"
    assert client.get("/admin/patients/patient/").status_code == 302


def test_a_role_goes_to_the_person_it_was_asked_for(house, mei, lin, wang):
    proposal = ask(mei, wang)
    Staff.objects.filter(pk=wang.pk).update(person_id="E-other")

    carried_out(house, proposal, lin)

    wang.refresh_from_db()
    assert (proposal.state, wang.role) == ("failed", "")
    assert proposing.why_failed(proposal) == granting.OtherPerson.code


def test_the_trail_does_not_say_whose_number_it_is(mei, wang):
    ask(mei, wang)

    assert "E-wang" not in Event.objects.get(action="proposal.ask").payload
    assert len(facts_of("proposal.ask")["person"]) == 64


@pytest.mark.parametrize("is_reset", [False, True])
def test_who_lost_their_office_has_asked_for_nothing(mei, lin, wang, is_reset):
    asked, decider = (ask_reset(lin, wang), mei) if is_reset else (ask(mei, wang), lin)
    proposing.decide(asked, approves=True, by=decider, at=timezone.now())
    Staff.objects.filter(pk=asked.asked_by).update(role=Role.AUDITOR)

    with pytest.raises(proposing.AskerGone):
        proposing.kind_of(asked).carry_out(asked, timezone.now())

    wang.refresh_from_db()
    assert (wang.role, wang.has_usable_password()) == ("", True)


def test_a_role_is_taken_away_at_once_and_with_it_what_it_reached(mei, chen):
    client = at_desk(chen)

    granting.take_away(chen, by=mei, at=NOW)

    chen.refresh_from_db()
    assert (chen.role, chen.campus, chen.clearance) == ("", "", Label.INTERNAL)
    assert client.get("/admin/patients/patient/").status_code == 302
    assert facts_of("role.assign")["after"] == ""
    with pytest.raises(granting.NoRole):
        granting.take_away(chen, by=mei, at=NOW)


def test_nobody_takes_a_role_from_themselves(mei):
    with pytest.raises(OwnAct):
        granting.take_away(mei, by=mei, at=NOW)


def test_the_last_of_an_office_stays(mei, lin, zhou, wang):
    with pytest.raises(succession.LastOne):
        granting.take_away(lin, by=mei, at=NOW)

    Staff.objects.filter(pk=wang.pk).update(role=Role.SYSTEM)
    granting.take_away(lin, by=mei, at=NOW)

    lin.refresh_from_db()
    assert lin.role == ""


def test_a_vendor_is_no_successor(mei, lin, he):
    Staff.objects.filter(pk=he.pk).update(role=Role.SYSTEM)

    with pytest.raises(succession.LastOne):
        granting.take_away(lin, by=mei, at=NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {"valid_until": NOW - timedelta(minutes=1)},
        {"valid_until": NOW + timedelta(days=1)},  # tomorrow nobody would be left
        {"password": make_password(None)},
        {"is_active": False},
    ],
)
def test_who_cannot_log_in_or_soon_will_not_is_no_successor(mei, lin, wang, fields):
    Staff.objects.filter(pk=wang.pk).update(role=Role.SYSTEM, **fields)

    with pytest.raises(succession.LastOne):
        granting.take_away(lin, by=mei, at=NOW)


class TestAtOnce:
    pytestmark = [*postgresql_only, pytest.mark.django_db(transaction=True)]

    def test_two_who_leave_do_not_wait_for_each_other(self, mei, lin, wang, monkeypatch):
        Staff.objects.filter(pk=wang.pk).update(role=Role.SYSTEM)
        wang.refresh_from_db()
        both, demand_another = threading.Barrier(2), succession.demand_another

        def late(staff):
            # Whoever is held up meanwhile comes when the other is through.
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(timeout=1)
            demand_another(staff)

        monkeypatch.setattr(succession, "demand_another", late)

        def leave(staff):
            try:
                granting.take_away(staff, by=mei, at=NOW)
            except succession.LastOne:
                return "stays"
            finally:
                connection.close()
            return "left"

        with ThreadPoolExecutor() as pool:
            assert sorted(pool.map(leave, [lin, wang])) == ["left", "stays"]


def test_the_last_of_an_office_moves_nowhere(house, mei, lin, zhou):
    proposal = carried_out(house, ask(mei, zhou, Role.PRIVACY, "", Label.SENSITIVE), lin)

    zhou.refresh_from_db()
    assert (proposal.state, zhou.role) == ("failed", "auditor")


# Pages


def test_the_security_administrator_asks_on_the_page_of_an_account(house, mei, lin, wang):
    asker = at_desk(mei, fresh=True)
    assert "申请授予角色" in asker.get(page("change", wang)).content.decode()
    form = {"role": "registrar", "campus": "main", "clearance": "4", "note": "新到岗"}

    answer = asker.post(page("grant", wang), form)

    proposal = Proposal.objects.get()
    assert answer.url == reverse("admin:audit_proposal_change", args=[proposal.pk])
    decider = at_desk(lin, fresh=True)
    assert "有 1 项申请待批准" in decider.get("/admin/audit/proposal/").content.decode()
    shown = decider.get(answer.url).content.decode()
    assert "王（wang）：登记员，院区 本部，安全标记 直接标识" in shown
    assert "不能恢复" not in shown
    decision = reverse("admin:audit_proposal_decision", args=[proposal.pk])
    decider.post(decision, {"decision": "approve"})
    proposal.refresh_from_db()
    assert proposal.decided_by == lin.pk
    assert "授予角色" in asker.get(page("change", wang)).content.decode()


def test_a_refusal_is_told_on_the_page(mei, wang):
    form = {"role": "registrar", "campus": "", "clearance": "4", "note": "新到岗"}

    shown = at_desk(mei, fresh=True).post(page("grant", wang), form).content.decode()

    assert granting.CampusNeeded.message in shown
    assert not Proposal.objects.exists()


def test_the_sealed_role_is_not_even_offered(mei, wang):
    assert "应急账号" not in at_desk(mei, fresh=True).get(page("grant", wang)).content.decode()


def test_taking_a_role_away_asks_who_is_there(mei, chen):
    answer = at_desk(mei).post(page("taking_away", chen))
    assert answer.url.startswith(reverse("step-up"))
    chen.refresh_from_db()
    assert chen.role == "registrar"

    at_desk(mei, fresh=True).post(page("taking_away", chen))
    chen.refresh_from_db()
    assert chen.role == ""


@pytest.mark.parametrize("who", ["lin", "zhou", "chen", "gu"])
@pytest.mark.parametrize("door", ["grant", "taking_away"])
def test_these_doors_are_the_security_administrators(who, door, request, wang):
    client = at_desk(request.getfixturevalue(who), fresh=True)

    assert client.get(page(door, wang)).status_code == 403
    assert client.post(page(door, wang)).status_code == 403


# A new way in


def test_a_reset_ends_the_old_way_in(house, lin, mei, chen):
    signing_in.enrolled(chen)
    client = at_desk(chen)

    proposal = carried_out(house, ask_reset(lin, chen), mei)

    chen.refresh_from_db()
    assert not chen.has_usable_password()
    assert chen.must_change_password
    assert not Authenticator.objects.filter(user=chen).exists()
    assert client.get("/admin/patients/patient/").status_code == 302
    assert facts_of("auth.reset") == {"proposal": str(proposal.pk)}


def test_who_asked_fetches_the_password_once(house, lin, mei, chen):
    carried_out(house, ask_reset(lin, chen), mei)
    client = at_desk(lin, fresh=True)
    assert "领取一次性密码" in client.get(page("change", chen)).content.decode()
    assert "<code>" not in client.get(page("password", chen)).content.decode()

    shown = client.post(page("password", chen)).content.decode()

    chen.refresh_from_db()
    password = shown.split("<dt>一次性密码</dt><dd><code>")[1].split("<")[0]
    assert chen.check_password(password)
    assert chen.must_change_password
    assert not any(password in event.payload for event in Event.objects.all())
    assert client.post(page("password", chen)).status_code == 302
    assert client.get(page("change", chen)).content.decode().count("领取一次性密码") == 0


def test_nobody_else_fetches_it_and_nobody_after_a_day(house, lin, mei, chen, wang):
    carried_out(house, ask_reset(lin, chen), mei)
    Staff.objects.filter(pk=wang.pk).update(role=Role.SYSTEM)
    wang.refresh_from_db()

    for by, at in ((wang, timezone.now()), (lin, timezone.now() + resetting.FETCHABLE)):
        with pytest.raises(resetting.NothingToFetch):
            resetting.fetch(chen, by=by, at=at)


def test_without_a_reset_there_is_nothing_to_fetch(lin, chen):
    with pytest.raises(resetting.NothingToFetch):
        resetting.fetch(chen, by=lin, at=NOW)


def test_nobody_resets_their_own_login(lin, mei):
    with pytest.raises(OwnAct):
        ask_reset(lin, lin)
    with pytest.raises(OwnAct):
        proposing.decide(ask_reset(lin, mei), approves=True, by=mei, at=NOW)


def test_fetching_asks_who_is_there(house, lin, mei, chen):
    carried_out(house, ask_reset(lin, chen), mei)

    answer = at_desk(lin).post(page("password", chen))

    assert answer.url.startswith(reverse("step-up"))
    chen.refresh_from_db()
    assert not chen.has_usable_password()


def test_no_kind_of_act_is_one_roles_alone():
    for kind in proposing.kinds():
        for held in GRANTS.values():
            assert not {kind.asks, kind.decides} <= held
