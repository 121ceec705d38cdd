"""What a password must be, how long it is one, and what its change ends."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital import policy
from hospital.accounts import passwords
from hospital.accounts.models import PolicyChoice, Staff, UsedPassword
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from tests.conftest import PASSWORD, recorded

GOOD = "Tulip-Harbour-77"


def codes(password, staff=None):
    try:
        validate_password(password, staff)
    except ValidationError as exc:
        return {one.code for one in exc.error_list}
    return set()


def change(client, new, old=PASSWORD):
    body = {"old_password": old, "new_password1": new, "new_password2": new}
    return client.post(reverse("own-password"), body)


@pytest.mark.parametrize(
    "password", [GOOD, "雨落Gardens12月", "nA9!kfw2Lq#x", "aardvark Seven kites 3"]
)
def test_a_good_one_is_taken(chen, password):
    assert codes(password, chen) == set()


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("Tulip-Har-7", "password_too_short"),
        ("tulipharbour77", "password_too_plain"),
        ("TULIP-HARBOUR", "password_too_plain"),
        ("Harbour-CHEN-77", "password_names_them"),
        ("Harbour-e-chen-77", "password_names_them"),
        ("陈医生Harbour-77", "password_names_them"),
        ("Password-2026!", "password_too_common"),
        ("P@ssw0rd20262026", "password_too_common"),
        ("2026!Dragon!2026", "password_too_common"),
        ("Admin@123456", "password_too_common"),
        ("Woaini@13141314", "password_too_common"),
        ("Yiyuan@20260101", "password_too_common"),
        ("Qwer1234!@#$", "password_too_common"),
        ("1qaz@WSX3edc", "password_too_common"),
        ("Aa1!Aa1!aaaaaaaa1111", "password_too_common"),
        ("@dministrator2026A", "password_too_common"),
        ("$unshine2026!!", "password_too_common"),
        ("2026P@ssw0rd", "password_too_common"),
        ("Pas5word#2026", "password_too_common"),
        ("Passw0rdPassw0rd", "password_too_common"),
        ("Administrator1Admin", "password_too_common"),
        ("2026Huanzhe@Yiyuan", "password_too_common"),
        ("Admin@Hospital2026", "password_too_common"),
        ("Yiyuan@Mima2026", "password_too_common"),
        ("Aa!111111111111", "password_too_common"),
    ],
)
def test_a_bad_one_is_told_why(chen, password, code):
    chen.display_name = "陈医生"

    assert code in codes(password, chen)


def test_every_rule_is_told_in_chinese(chen):
    with pytest.raises(ValidationError) as refused:
        validate_password("chen", chen)

    assert all(not message.isascii() for message in refused.value.messages)


def test_the_length_is_the_policys(chen):
    PolicyChoice.objects.create(key="PASSWORD_MIN_LENGTH", value=20, set_at=timezone.now())
    policy.forget()

    assert codes(GOOD, chen) == {"password_too_short"}


def test_the_last_five_and_the_present_one_do_not_come_back(chen, client):
    client.force_login(chen)
    used = [f"Tulip-Harbour-{number}" for number in range(7)]
    old = PASSWORD
    for new in used:
        assert change(client, new, old).status_code == 302
        old = new
    chen.refresh_from_db()

    *before, present = used[1:]
    assert codes(present, chen) == {"password_used_before"}
    assert [codes(one, chen) for one in before] == [{"password_used_before"}] * 5
    assert codes(used[0], chen) == set()


def test_hashed_anew_the_present_one_takes_no_place_among_the_last(chen, client, settings):
    client.force_login(chen)
    for old, new in pairwise([PASSWORD, *(f"Tulip-Harbour-{number}" for number in range(6))]):
        change(client, new, old)
    chen.refresh_from_db()

    chen.password = make_password("Tulip-Harbour-5")  # as a login does, when settings ask for more
    chen.save(update_fields=["password"])

    assert codes("Tulip-Harbour-0", chen) == {"password_used_before"}


def test_the_password_somebody_began_with_does_not_come_back(chen, client):
    client.force_login(chen)

    change(client, GOOD)

    chen.refresh_from_db()
    assert "password_used_before" in codes(PASSWORD, chen)


def test_a_one_time_password_and_the_one_before_do_not_come_back(chen):
    chen.set_password(GOOD)
    Staff.objects.filter(pk=chen.pk).update(password=chen.password)
    chen.refresh_from_db()

    given = passwords.issue(chen, at=timezone.now())
    chen.set_password("Tulip-Harbour-78")
    chen.save()

    assert [codes(one, chen) for one in (given, GOOD)] == [{"password_used_before"}] * 2


MEANWHILE = {
    "stopped": {"is_active": False},
    "past their end": {"valid_until": timezone.now()},
    "without their role": {"role": "", "campus": "", "clearance": 2},
    "logged in elsewhere": {"session_number": 99},
}


@pytest.mark.parametrize("how", MEANWHILE)
def test_who_is_no_longer_who_they_were_changes_nothing(chen, client, monkeypatch, how):
    client.force_login(chen)
    validate = passwords.Long.validate

    def slowly(self, password, user=None):
        Staff.objects.filter(pk=chen.pk).update(**MEANWHILE[how])
        return validate(self, password, user)

    monkeypatch.setattr(passwords.Long, "validate", slowly)

    answer = change(client, GOOD)

    assert answer.status_code == 403
    after = Staff.objects.get(pk=chen.pk)
    assert after.check_password(PASSWORD)
    assert {name: getattr(after, name) for name in MEANWHILE[how]} == MEANWHILE[how]
    assert not Event.objects.filter(action="auth.password_change").exists()


def test_no_more_are_kept_than_the_policy_may_ever_ask_for(chen):
    for number in range(30):
        chen.set_password(f"Tulip-Harbour-{number}")
        chen.save()

    assert UsedPassword.objects.count() == 25
    assert chen.used_passwords.order_by("-at")[0].password == chen.password


def test_a_change_is_on_record_and_ends_the_other_logins(chen, client):
    client.force_login(chen)
    other = Client()
    other.cookies = client.cookies.copy()  # whoever took the cookie along
    before = timezone.now()

    answer = change(client, GOOD)

    assert answer["Location"] == reverse("admin:index")
    chen.refresh_from_db()
    assert chen.password_changed_at >= before
    assert Event.objects.get(action="auth.password_change").actor_id == str(chen.pk)
    assert client.get(reverse("admin:index")).status_code == 200
    assert "login" in other.get(reverse("admin:index"))["Location"]


def test_nothing_of_a_password_is_told_elsewhere(chen, client, caplog):
    caplog.set_level(0)
    client.force_login(chen)

    change(client, GOOD)

    assert GOOD not in caplog.text
    assert not Event.objects.filter(payload__contains=GOOD).exists()


@pytest.mark.parametrize("page", ["admin:index", "admin:accounts_policychoice_changelist"])
def test_after_ninety_days_nothing_is_open_but_to_change_it(mei, client, page):
    Staff.objects.update(password_changed_at=timezone.now() - timedelta(days=90, seconds=1))
    client.force_login(mei)

    assert client.get(reverse(page))["Location"] == reverse("own-password")
    assert "已经到期" in client.get(reverse("own-password")).content.decode()

    change(client, GOOD)
    assert client.get(reverse(page)).status_code == 200


def test_a_day_before_everything_is(chen, client):
    Staff.objects.update(password_changed_at=timezone.now() - timedelta(days=89))
    client.force_login(chen)

    assert client.get(reverse("admin:index")).status_code == 200


def test_who_has_to_change_it_may_leave(chen, client):
    Staff.objects.update(must_change_password=True)
    client.force_login(chen)

    client.post(reverse("admin:logout"))

    assert "_auth_user_id" not in client.session


def test_a_one_time_password_is_for_one_login(chen, client):
    now = timezone.now()
    with transaction.atomic():
        given = passwords.issue(chen, at=now)
        record(Action.CREDENTIALS_RESET, by=SYSTEM, on=chen, at=now)
    chen.refresh_from_db()
    assert chen.password_changed_at == now

    assert codes(given, chen) == {"password_used_before"}  # good, but for one login
    client.force_login(chen)
    assert client.get(reverse("admin:index"))["Location"] == reverse("own-password")
    assert change(client, given, given).status_code == 200  # the same again is none
    assert change(client, GOOD, given).status_code == 302
    chen.refresh_from_db()
    assert not chen.must_change_password


def test_a_one_time_password_ends_the_sessions_there_are(chen, client):
    client.force_login(chen)

    passwords.issue(chen, at=timezone.now())

    assert "login" in client.get(reverse("admin:index"))["Location"]


def test_one_time_passwords_cannot_be_mistaken_on_paper(chen):
    given = [passwords.issue(chen, at=timezone.now()) for _ in range(200)]

    assert not set("".join(given)) & set("0O1lI")
    assert all(codes(one) == set() for one in given)
    assert len(set(given)) == 200


def test_what_changes_with_a_password_is_recorded(chen, transactional_db):
    with recorded():
        chen.set_password(GOOD)
        chen.save()

    assert UsedPassword.objects.count() == 1
