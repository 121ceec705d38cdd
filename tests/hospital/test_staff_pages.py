"""Accounts as the system administrator sees them: made, stopped, extended, and no role in sight."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital import policy
from hospital.accounts import granting, lockout, naming, succession
from hospital.accounts.models import Staff
from hospital.audit import proposing
from hospital.audit.models import Event
from tests import signing_in
from tests.conftest import PASSWORD
from tests.hospital.aged import HERE

ADD = "admin:accounts_staff_add"
WANG = {"username": "wang", "display_name": "王", "person_id": "E-wang"}
OTHER = {"username": "other", "display_name": "另", "person_id": "E-other"}


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


def at_desk(person, *, fresh=False):
    client = Client()
    client.force_login(person)
    if fresh:
        signing_in.step_up(client, person)
    return client


def page(staff, name="change"):
    return reverse(f"admin:accounts_staff_{name}", args=[staff.pk])


def in_days(days):
    return f"{timezone.localtime(timezone.now() + timedelta(days=days)):%Y-%m-%dT%H:%M}"


def written(staff, **changes):
    """Return the form of an account as the page shows it, with these changes."""
    form = {"username": staff.username, "display_name": staff.display_name}
    form |= {"person_id": staff.person_id, "is_active": "on"}
    if staff.valid_until:
        form["valid_until"] = f"{timezone.localtime(staff.valid_until):%Y-%m-%dT%H:%M}"
    return {name: value for name, value in (form | changes).items() if value is not None}


@pytest.fixture
def he(lin):
    """Of a supplier, here for a week."""
    form = {"username": "he", "display_name": "何", "person_id": "V-he", "is_vendor": "on"}
    answer = at_desk(lin, fresh=True).post(reverse(ADD), form | {"valid_until": in_days(7)})
    assert answer.status_code == 200
    return Staff.objects.get(username="he")


def test_a_new_account_has_no_role_and_a_password_that_is_shown_once(lin):
    shown = at_desk(lin, fresh=True).post(reverse(ADD), WANG).content.decode()

    [password] = re.findall(r"<dt>一次性密码</dt><dd><code>(\S+)</code>", shown)
    wang = Staff.objects.get(username="wang")
    assert wang.check_password(password)
    assert wang.must_change_password
    assert (wang.role, wang.campus, wang.clearance) == ("", "", 2)
    assert not Event.objects.filter(payload__contains=password).exists()
    assert [event.action for event in Event.objects.on(wang)] == ["staff.create"]
    assert password not in at_desk(lin).get(page(wang)).content.decode()


def test_a_role_cannot_be_slipped_in(lin):
    at_desk(lin, fresh=True).post(reverse(ADD), WANG | {"role": "registrar", "clearance": "4"})

    wang = Staff.objects.get(username="wang")
    assert (wang.role, wang.clearance) == ("", 2)


@pytest.mark.parametrize("name", ["admin", "Root", "test", "GUEST", "sysadmin"])
def test_shared_names_are_refused(lin, name):
    shown = at_desk(lin, fresh=True).post(reverse(ADD), WANG | {"username": name}).content.decode()

    assert naming.Reserved.message in shown
    assert not Staff.objects.filter(person_id="E-wang").exists()


@pytest.mark.parametrize("number", ["E-chen", "e-CHEN", " E-chen ", "Ｅ-chen"])
def test_nobody_gets_a_second_account_however_the_number_is_typed(lin, chen, number):
    at_desk(lin, fresh=True).post(reverse(ADD), WANG | {"person_id": number})

    assert not Staff.objects.filter(username="wang").exists()


@pytest.mark.parametrize("until", [None, 31, -1])
def test_a_vendor_has_an_end_that_is_near(lin, until):
    form = WANG | {"is_vendor": "on"}
    if until is not None:
        form["valid_until"] = in_days(until)

    shown = at_desk(lin, fresh=True).post(reverse(ADD), form).content.decode()

    assert "有效期" in shown
    assert not Staff.objects.filter(username="wang").exists()


def test_a_vendors_end_is_moved_on_record_and_never_far(lin, he):
    client = at_desk(lin)

    client.post(page(he), written(he, valid_until=in_days(31)))
    assert Staff.objects.get(pk=he.pk).valid_until == he.valid_until

    client.post(page(he), written(he, valid_until=in_days(policy.value("VENDOR_DAYS") - 1)))
    assert Staff.objects.get(pk=he.pk).valid_until > he.valid_until
    [event] = Event.objects.filter(action="staff.change")
    assert '"fields":["valid_until"]' in event.payload


def test_a_vendor_does_not_become_one_of_ours_on_a_page(lin, he):
    at_desk(lin).post(page(he), written(he, is_vendor="", valid_until=None))

    he.refresh_from_db()
    assert he.is_vendor
    assert he.valid_until


def test_stopping_and_starting_again_counts_idleness_anew(lin, chen):
    before = timezone.now() - timedelta(days=300)
    Staff.objects.filter(pk=chen.pk).update(enabled_at=before)
    client = at_desk(lin)

    client.post(page(chen), written(chen, is_active=None))
    chen.refresh_from_db()
    assert (chen.is_active, chen.enabled_at) == (False, before)

    client.post(page(chen), written(chen))
    chen.refresh_from_db()
    assert chen.is_active
    assert chen.enabled_at > before


def test_who_is_enabled_again_has_no_role_and_no_session(lin, chen):
    client, desk = at_desk(chen), at_desk(lin)
    assert client.get("/admin/").status_code == 200
    assert "须重新申请授予" in desk.get(page(chen)).content.decode()

    desk.post(page(chen), written(chen, is_active=None))
    chen.refresh_from_db()
    assert chen.role == "registrar"
    shown = desk.post(page(chen), written(chen), follow=True).content.decode()

    chen.refresh_from_db()
    assert (chen.is_active, chen.role, chen.campus, chen.clearance) == (True, "", "", 2)
    assert "原角色已收回" in shown
    assert client.get("/admin/").status_code == 302
    event = Event.objects.get(action="role.assign")
    assert (event.actor_id, event.object_id) == (str(lin.pk), str(chen.pk))
    assert '"before":"registrar"' in event.payload


def test_stopped_and_started_no_session_of_before_comes_back(lin):
    wang = Staff.objects.create_user("wang", PASSWORD, display_name="王", person_id="E-wang")
    before = wang.get_session_auth_hash()

    at_desk(lin).post(page(wang), written(wang, is_active=None))
    at_desk(lin).post(page(wang), written(wang))

    wang.refresh_from_db()
    assert wang.is_active
    assert wang.get_session_auth_hash() != before
    assert not Event.objects.filter(action="role.assign").exists()


def test_who_is_stopped_is_out_at_once(lin, chen):
    client = at_desk(chen)
    at_desk(lin).post(page(chen), written(chen, is_active=None))

    assert client.get("/admin/patients/patient/").status_code == 302


@pytest.mark.parametrize("who", ["mei", "zhou"])
def test_the_last_of_an_office_is_not_stopped(who, request, lin):
    last = request.getfixturevalue(who)

    shown = at_desk(lin).post(page(last), written(last, is_active=None)).content.decode()

    assert succession.LastOne.message in shown
    last.refresh_from_db()
    assert last.is_active


def test_the_last_of_an_office_is_given_no_end(lin, zhou):
    shown = at_desk(lin).post(page(zhou), written(zhou, valid_until=in_days(1))).content.decode()

    assert succession.LastOne.message in shown
    zhou.refresh_from_db()
    assert zhou.valid_until is None


def test_an_end_is_given_while_somebody_stays_and_taken_away_at_any_time(lin, zhou):
    zhao = Staff.objects.create_user(
        "zhao", PASSWORD, display_name="赵", person_id="E-zhao", role="auditor"
    )
    client = at_desk(lin)

    client.post(page(zhou), written(zhou, valid_until=in_days(1)))
    zhou.refresh_from_db()
    assert zhou.valid_until
    client.post(page(zhao), written(zhao, valid_until=in_days(2)))
    zhao.refresh_from_db()
    assert zhao.valid_until is None

    client.post(page(zhou), written(zhou, valid_until=""))
    zhou.refresh_from_db()
    assert zhou.valid_until is None


def test_nobody_changes_their_own_account(lin):
    assert at_desk(lin).post(page(lin), written(lin, display_name="别名")).status_code == 403


def test_an_account_somebody_has_used_stays_theirs(lin, chen):
    Staff.objects.filter(pk=chen.pk).update(last_login=timezone.now())

    at_desk(lin).post(page(chen), written(chen, username="new", person_id="E-new"))

    chen.refresh_from_db()
    assert (chen.username, chen.person_id) == ("chen", "E-chen")


def test_a_role_stays_with_the_person_it_was_given_to(lin, sun):
    at_desk(lin).post(page(sun), written(sun, **OTHER))

    sun.refresh_from_db()
    assert (sun.username, sun.display_name, sun.person_id) == ("sun", "sun", "E-sun")


def test_nobody_is_swapped_for_the_person_a_role_was_asked_for(lin, mei):
    wang = Staff.objects.create_user("wang", PASSWORD, display_name="王", person_id="E-wang")
    facts = granting.stated(wang, {"role": "registrar", "campus": "main", "clearance": 4})
    asked = proposing.ask("role.grant", facts, reason="新到岗", by=mei, at=timezone.now())
    client = at_desk(lin)

    client.post(page(wang), written(wang, **OTHER))
    wang.refresh_from_db()
    assert (wang.username, wang.display_name, wang.person_id) == ("wang", "王", "E-wang")

    proposing.withdraw(asked, by=mei, at=timezone.now())
    client.post(page(wang), written(wang, **OTHER))
    wang.refresh_from_db()
    assert (wang.username, wang.display_name, wang.person_id) == ("other", "另", "E-other")


@pytest.mark.parametrize("name", ["chen", "CHEN", "Chen"])
def test_two_accounts_differ_in_more_than_their_case(lin, chen, name):
    shown = at_desk(lin, fresh=True).post(reverse(ADD), WANG | {"username": name}).content.decode()

    assert "已存在" in shown
    assert Staff.objects.filter(username__iexact="chen").count() == 1


@pytest.mark.parametrize("who", ["mei", "zhou", "chen", "gu"])
def test_nobody_else_makes_or_changes_accounts(who, request, lin, wu):
    client = at_desk(request.getfixturevalue(who))

    assert client.post(reverse(ADD), WANG).status_code == 403
    assert client.post(page(wu), written(wu, display_name="别名")).status_code == 403
    for door in ("reset", "password", "unlocking"):
        assert client.post(page(wu, door)).status_code == 403


def test_a_vendor_looks_and_changes_nothing(lin, he, chen):
    Staff.objects.filter(pk=he.pk).update(role="system", must_change_password=False)
    he.refresh_from_db()
    client = at_desk(he)

    assert "chen" in client.get(reverse("admin:accounts_staff_changelist")).content.decode()
    shown = client.get(page(chen))
    assert shown.status_code == 200
    assert "E-chen" not in shown.content.decode()
    assert client.post(page(chen), written(chen, display_name="别名")).status_code == 403
    assert client.post(reverse(ADD), WANG).status_code == 403
    assert client.get(reverse("admin:devices_store_add")).status_code == 403


def test_who_is_shut_out_is_let_in_again(lin, chen):
    client = Client()
    for _ in range(policy.value("LOGIN_FAIL_LIMIT")):
        client.post(reverse("admin:login"), {"username": "chen", "password": "wrong"})
    assert lockout.is_shut_out(chen, at=timezone.now())
    assert "解除登录锁定" in at_desk(lin).get(page(chen)).content.decode()

    at_desk(lin).post(page(chen, "unlocking"))

    assert not lockout.is_shut_out(chen, at=timezone.now())
    assert "解除登录锁定" not in at_desk(lin).get(page(chen)).content.decode()


def test_the_list_says_how_each_account_stands(lin, he, chen, sun):
    Staff.objects.filter(pk=sun.pk).update(is_active=False)
    Staff.objects.create_user("wang", PASSWORD, display_name="王", person_id="E-wang")

    shown = at_desk(lin).get(reverse("admin:accounts_staff_changelist")).content.decode()

    for word in ("启用", "停用", "待首次登录", "未授予角色", "本部"):
        assert word in shown


def test_the_sealed_account_is_shown_and_nobodys_to_change(lin, mei, chen):
    Staff.objects.filter(pk=chen.pk).update(role="emergency", is_active=False)
    chen.refresh_from_db()

    assert at_desk(lin).get(page(chen)).status_code == 200
    assert at_desk(lin).post(page(chen), written(chen)).status_code == 403
    for person in (lin, mei):
        assert "办理" not in at_desk(person).get(page(chen)).content.decode()
