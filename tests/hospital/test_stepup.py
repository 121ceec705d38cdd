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
from hospital.audit.models import Event
from tests.conftest import PASSWORD

WANTED = "/admin/audit/export/add/"


@pytest.fixture
def zhous(client, zhou):
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


def test_who_shows_that_it_is_them_goes_on(zhous, zhou):
    answer = zhous.post(page(), {"password": PASSWORD})

    assert answer["Location"] == WANTED
    assert stepup.is_fresh(zhous.session, at=timezone.now())
    assert told() == [("auth.step_up", "success")]
    assert Event.objects.get(action="auth.step_up").actor_id == str(zhou.pk)


def test_the_session_gets_a_new_key(zhous):
    before = zhous.session.session_key

    zhous.post(page(), {"password": PASSWORD})

    assert zhous.session.session_key != before
    assert not SessionStore().exists(before)


def test_after_five_minutes_it_is_asked_again(zhous):
    zhous.post(page(), {"password": PASSWORD})
    now = timezone.now()

    assert stepup.is_fresh(zhous.session, at=now + timedelta(seconds=290))
    assert not stepup.is_fresh(zhous.session, at=now + timedelta(seconds=301))
    assert not stepup.is_fresh(zhous.session, at=now - timedelta(seconds=60))


def test_a_wrong_password_is_on_record_and_goes_nowhere(zhous):
    answer = zhous.post(page(), {"password": "wrong"})

    assert "密码不正确" in answer.content.decode()
    assert not stepup.is_fresh(zhous.session, at=timezone.now())
    assert told() == [("auth.step_up_failed", "denied")]
    assert not Event.objects.filter(payload__contains="wrong").exists()


def test_five_wrong_answers_end_the_session(zhous):
    for _ in range(4):
        assert zhous.post(page(), {"password": "wrong"}).status_code == 200

    answer = zhous.post(page(), {"password": "wrong"})

    assert answer["Location"].startswith(reverse("admin:login"))
    assert "_auth_user_id" not in zhous.session


def test_sessions_of_one_person_share_their_tries(zhous, zhou):
    others = [Client() for _ in range(4)]
    for other in others:
        other.force_login(zhou)
        assert other.post(page(), {"password": "wrong"}).status_code == 200

    answer = zhous.post(page(), {"password": "wrong"})

    assert answer["Location"].startswith(reverse("admin:login"))


def test_when_no_try_is_left_the_right_password_is_none_either(zhous, zhou):
    for _ in range(5):
        stepup.attempt(zhou.pk)

    answer = zhous.post(page(), {"password": PASSWORD})

    assert answer["Location"].startswith(reverse("admin:login"))
    assert told() == [("auth.step_up_failed", "denied")]


def test_who_shows_that_it_is_them_has_all_tries_again(zhous, zhou):
    for _ in range(4):
        zhous.post(page(), {"password": "wrong"})

    zhous.post(page(), {"password": PASSWORD})

    assert stepup.attempt(zhou.pk) == 4


def test_one_persons_tries_are_not_anothers(zhou, mei):
    for _ in range(5):
        stepup.attempt(zhou.pk)

    assert stepup.attempt(mei.pk) == 4


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

    assert at_once(10, lambda: stepup.attempt("zhou")) == [-1] * 5 + [0, 1, 2, 3, 4]


def test_anothers_password_is_no_answer(zhous, mei):
    mei.set_password("another one of hers")
    mei.save()

    zhous.post(page(), {"password": "another one of hers"})

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
def test_only_pages_of_ours_come_after_it(zhous, elsewhere):
    answer = zhous.post(page(elsewhere), {"password": PASSWORD})

    assert answer["Location"] == reverse("admin:index")


def test_the_way_back_carries_no_question(zhous):
    answer = zhous.get(f"{WANTED}?reason=somebody")

    assert answer["Location"] == f"{reverse('step-up')}?next=%2Fadmin%2Faudit%2Fexport%2Fadd%2F"
