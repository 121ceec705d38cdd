"""How a login ends: by itself, by another one, with the account; and what stays of it."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital import policy
from hospital.accounts import sessions
from hospital.accounts.middleware import REFRESH
from hospital.accounts.models import PolicyChoice, Staff
from hospital.audit.models import Event
from hospital.roles import Role
from tests.conftest import PASSWORD
from tests.signing_in import enrolled, log_in

HOME = "/admin/password_change/"  # a page of everybody's


def logged_in(person):
    client = Client()
    client.force_login(person)
    return client


def is_in(client, **headers):
    return client.get(HOME, headers=headers).status_code == 200


def go_back(client, **by):
    """Make it so long ago that somebody came, or clicked."""
    session = client.session
    for stamp, minutes in by.items():
        session[stamp] = (timezone.now() - timedelta(minutes=minutes)).timestamp()
    session.save()


def told(action):
    return Event.objects.filter(action=action)


def set_policy(**choices):
    for key, value in choices.items():
        PolicyChoice.objects.create(key=key, value=value, set_at=timezone.now())
    policy.forget()


def test_fifteen_minutes_without_a_click_end_it(chen):
    client = logged_in(chen)
    go_back(client, seen_at=14.9)
    assert is_in(client)

    go_back(client, seen_at=15)

    assert not is_in(client)
    assert told("auth.session_timeout").get().actor_id == str(chen.pk)
    assert '"kind":"idle"' in told("auth.session_timeout").get().payload


def test_every_click_begins_them_anew(chen):
    client = logged_in(chen)
    for _ in range(5):
        go_back(client, seen_at=10)
        assert is_in(client)


def test_a_page_that_refreshes_itself_is_no_click(chen):
    client = logged_in(chen)
    go_back(client, seen_at=14)
    assert is_in(client, **{REFRESH: "1"})

    session = client.session
    assert timezone.now().timestamp() - session["seen_at"] > 13 * 60


def test_a_page_that_refreshes_itself_ends_like_any_other(chen):
    client = logged_in(chen)
    go_back(client, seen_at=16)

    assert not is_in(client, **{REFRESH: "1"})
    assert not Session.objects.filter(pk=client.cookies[settings.SESSION_COOKIE_NAME].value)


def test_an_end_that_cannot_be_recorded_lets_nobody_in_and_is_recorded_later(chen):
    client = logged_in(chen)
    go_back(client, seen_at=16)

    with out_of_reach():
        assert client.get(HOME).status_code == 503

    assert not is_in(client)
    assert told("auth.session_timeout").get().actor_id == str(chen.pk)


@contextmanager
def out_of_reach():
    """The trail takes nothing."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_event RENAME TO gone")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE gone RENAME TO audit_event")


def test_eight_hours_end_it_however_busy_somebody_is(chen):
    client = logged_in(chen)
    go_back(client, came_at=8 * 60 - 1)
    assert is_in(client)

    go_back(client, came_at=8 * 60)

    assert not is_in(client)
    assert '"kind":"absolute"' in told("auth.session_timeout").get().payload


def test_a_stricter_policy_ends_logins_there_are(chen):
    client = logged_in(chen)
    go_back(client, seen_at=6)

    set_policy(SESSION_IDLE_MINUTES=5)

    assert not is_in(client)


def test_a_session_nobody_stamped_is_none(chen):
    client = logged_in(chen)
    session = client.session
    del session[sessions.CAME]
    session.save()

    assert not is_in(client)


def test_what_was_sent_after_the_end_is_not_done(chen):
    client = logged_in(chen)
    go_back(client, seen_at=16)

    client.post(
        HOME,
        {
            "old_password": PASSWORD,
            "new_password1": "Tulip-Harbour-77",
            "new_password2": "Tulip-Harbour-77",
        },
    )

    chen.refresh_from_db()
    assert chen.check_password(PASSWORD)


def test_a_new_login_ends_the_old_one(chen):
    old = logged_in(chen)
    key = old.session.session_key

    new = logged_in(chen)

    assert is_in(new)
    assert not is_in(old)
    assert not Session.objects.filter(pk=key).exists()
    assert told("auth.session_replaced").get().actor_id == str(chen.pk)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_logins_at_once_one_stays(chen):
    clients, start = [Client() for _ in range(4)], threading.Barrier(4)

    def come(client):
        start.wait()
        client.post(reverse("admin:login"), {"username": "chen", "password": PASSWORD})
        connection.close()

    threads = [threading.Thread(target=come, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(is_in(client) for client in clients) == [False] * 3 + [True]


def test_a_login_after_one_that_was_over_replaces_nothing(chen):
    client = logged_in(chen)
    client.post(reverse("admin:logout"))

    logged_in(chen)

    assert not told("auth.session_replaced").exists()


def test_a_login_replaces_nobody_elses(chen, lin):
    lins = logged_in(lin)

    logged_in(chen)

    assert is_in(lins)
    assert not told("auth.session_replaced").exists()


def test_the_row_of_an_old_session_that_comes_back_is_of_no_use(chen):
    old = logged_in(chen)
    key, kept = old.session.session_key, Session.objects.get(pk=old.session.session_key)
    logged_in(chen)

    kept.save(force_insert=True)  # from a backup, say

    assert not is_in(old)
    assert Session.objects.filter(pk=key).first() is None


ENDS = {
    "stopped": {"is_active": False},
    "past its end": {"valid_until": timezone.now() - timedelta(seconds=1)},
    "another role": {"role": Role.PRIVACY},
    "another campus": {"campus": "east"},
    "another clearance": {"clearance": 3},
}


@pytest.mark.parametrize("how", ENDS)
def test_it_ends_with_the_account(chen, how):
    Staff.objects.update(campus="main", clearance=4)
    client = logged_in(Staff.objects.get(pk=chen.pk))
    assert is_in(client)

    Staff.objects.filter(pk=chen.pk).update(**ENDS[how])

    assert not is_in(client)
    assert not Session.objects.exists()


def test_who_leaves_is_out_on_the_server(chen):
    client = logged_in(chen)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value

    client.post(reverse("admin:logout"))

    client.cookies[settings.SESSION_COOKIE_NAME] = cookie
    assert not is_in(client)


def test_a_login_is_on_record_with_what_was_shown(chen):
    phone, client = enrolled(chen), Client()

    log_in(client, chen, password=PASSWORD, phone=phone)

    assert is_in(client)
    [login] = told("auth.login")
    assert '"methods":["password","totp"]' in login.payload


def test_the_cookie_goes_nowhere_else_and_with_the_browser(chen):
    phone, client = enrolled(chen), Client()
    log_in(client, chen, password=PASSWORD, phone=phone)

    cookie = client.cookies[settings.SESSION_COOKIE_NAME]

    assert cookie["samesite"] == "Strict"
    assert cookie["httponly"]
    assert cookie["max-age"] == ""
    assert cookie["expires"] == ""


def test_a_session_without_a_cookie_costs_nothing(client, db, django_assert_num_queries):
    with django_assert_num_queries(0):
        client.get("/api/docs")
