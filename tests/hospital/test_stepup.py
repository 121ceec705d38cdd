"""Before a grave act somebody shows once more that it is them."""

import threading
from datetime import timedelta

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import caches
from django.core.cache.backends.db import DatabaseCache
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital import stepup
from hospital.accounts.models import PolicyChoice
from hospital.audit.models import Event
from tests import signing_in
from tests.conftest import PASSWORD

WANTED = "/admin/audit/export/add/"
WRONG = {"code": "wrong"}


@pytest.fixture
def phone(zhou):
    return signing_in.enrolled(zhou)


@pytest.fixture
def zhous(client, zhou, phone):
    client.force_login(zhou)
    return client


def page(wanted=WANTED):
    return f"{reverse('step-up')}?next={wanted}"


def told():
    return list(
        Event.objects.filter(action__startswith="auth.step_up")
        .order_by("pk")
        .values_list("action", "outcome")
    )


def test_who_shows_that_it_is_them_goes_on(zhous, zhou, phone):
    answer = zhous.post(page(), {"code": phone.code()})

    assert answer["Location"] == WANTED
    assert stepup.is_fresh(zhous.session, at=timezone.now())
    assert told() == [("auth.step_up", "success")]
    assert Event.objects.get(action="auth.step_up").actor_id == str(zhou.pk)


def test_a_password_is_no_answer(zhous):
    zhous.post(page(), {"code": PASSWORD, "password": PASSWORD})

    assert not stepup.is_fresh(zhous.session, at=timezone.now())


def test_who_has_just_logged_in_with_a_second_factor_is_not_asked(client, zhou, phone):
    signing_in.log_in(client, zhou, password=PASSWORD, phone=phone)

    assert client.get(WANTED).status_code == 200


def test_the_session_gets_a_new_key(zhous, phone):
    before = zhous.session.session_key

    zhous.post(page(), {"code": phone.code()})

    assert zhous.session.session_key != before
    assert not SessionStore().exists(before)


def test_after_five_minutes_it_is_asked_again(zhous, phone):
    zhous.post(page(), {"code": phone.code()})
    now = timezone.now()

    assert stepup.is_fresh(zhous.session, at=now + timedelta(seconds=290))
    assert not stepup.is_fresh(zhous.session, at=now + timedelta(seconds=301))
    assert not stepup.is_fresh(zhous.session, at=now - timedelta(seconds=60))


def test_the_policy_says_after_how_many_minutes(zhous, phone):
    PolicyChoice.objects.create(key="STEP_UP_MINUTES", value=1, set_at=timezone.now())
    stepup.policy.forget()
    zhous.post(page(), {"code": phone.code()})

    assert not stepup.is_fresh(zhous.session, at=timezone.now() + timedelta(seconds=61))

    PolicyChoice.objects.all().delete()
    stepup.policy.forget()


def test_a_wrong_code_is_on_record_and_goes_nowhere(zhous):
    answer = zhous.post(page(), WRONG)

    assert "验证没有通过" in answer.content.decode()
    assert not stepup.is_fresh(zhous.session, at=timezone.now())
    assert told() == [("auth.step_up_failed", "denied")]
    assert not Event.objects.filter(payload__contains="wrong").exists()


def test_five_wrong_answers_end_the_session(zhous):
    for _ in range(4):
        assert zhous.post(page(), WRONG).status_code == 200

    answer = zhous.post(page(), WRONG)

    assert answer["Location"].startswith(reverse("admin:login"))
    assert "_auth_user_id" not in zhous.session


def test_a_stolen_cookie_does_not_shut_its_owner_out_elsewhere(zhous, zhou, phone):
    for _ in range(5):
        zhous.post(page(), WRONG, REMOTE_ADDR="10.6.6.6")
    other = Client()
    other.force_login(zhou)

    answer = other.post(page(), {"code": phone.code()})

    assert answer["Location"] == WANTED


def test_wrong_answers_count_like_wrong_passwords(zhous, zhou, phone):
    for _ in range(5):
        zhous.post(page(), WRONG)

    answer = signing_in.log_in(Client(), zhou, password=PASSWORD, phone=phone)

    assert answer["Location"].startswith(reverse("admin:login"))


def test_when_no_try_is_left_the_right_code_is_none_either(zhous, phone):
    for _ in range(5):
        stepup.attempt(zhous.session)

    answer = zhous.post(page(), {"code": phone.code()})

    assert answer["Location"].startswith(reverse("admin:login"))
    assert told() == [("auth.step_up_failed", "denied")]


def at_once(times, act):
    done, start = [], threading.Barrier(times)

    def run():
        start.wait()
        done.append(act())
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(done)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_answers_at_once_have_no_more_tries():
    assert isinstance(caches["default"], DatabaseCache)  # whose counting is not atomic
    session = SessionStore()
    session.create()

    assert at_once(10, lambda: stepup.attempt(session)) == [-1] * 5 + [0, 1, 2, 3, 4]


def test_anothers_code_is_no_answer(zhous, mei):
    signing_in.enrolled(mei)
    other = signing_in.Phone("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")

    zhous.post(page(), {"code": other.code()})

    assert not stepup.is_fresh(zhous.session, at=timezone.now())


def test_nobody_is_asked_who_is_not_logged_in(client, db):
    assert client.get(page())["Location"].startswith(reverse("admin:login"))


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "javascript:alert(1)",
        "evil",
        "",
        "\t//evil.example",
    ],
)
def test_only_pages_of_ours_come_after_it(zhous, phone, elsewhere):
    answer = zhous.post(page(elsewhere), {"code": phone.code()})

    assert answer["Location"] == reverse("admin:index")


def test_the_way_back_carries_no_question(zhous):
    answer = zhous.get(f"{WANTED}?reason=somebody")

    assert answer["Location"] == f"{reverse('step-up')}?next=%2Fadmin%2Faudit%2Fexport%2Fadd%2F"


@pytest.mark.parametrize(
    ("who", "name"),
    [
        ("lin", "admin:accounts_staff_add"),
        ("lin", "admin:accounts_staff_reset"),
        ("mei", "admin:accounts_staff_grant"),
        ("lin", "admin:faceauth_merchant_add"),
        ("lin", "admin:audit_proposal_destroy"),
        ("zhou", "admin:audit_proposal_prune"),
    ],
)
def test_grave_acts_ask_before_the_form_and_after_it(client, who, name, chen, request):
    client.force_login(request.getfixturevalue(who))  # some time ago
    one = [chen.pk] if name.endswith(("reset", "grant")) else []

    for answer in (client.get(reverse(name, args=one)), client.post(reverse(name, args=one))):
        assert answer["Location"].startswith(reverse("step-up"))


def test_a_code_for_a_terminal_is_a_grave_act(client, lin, kiosk):
    client.force_login(lin)
    chosen = {"action": "issue_code", "_selected_action": [str(kiosk.terminal.pk)]}

    answer = client.post(reverse("admin:devices_terminal_changelist"), chosen)

    assert answer["Location"].startswith(reverse("step-up"))
