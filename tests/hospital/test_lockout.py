"""Who guesses is shut out for a while, of an account that exists as of one that does not."""

import threading
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import authenticate
from django.db import connection
from django.db.models import F
from django.test import Client, RequestFactory
from django.urls import reverse
from django.utils import timezone

from hospital import tracing
from hospital.accounts import lockout
from hospital.accounts.models import Staff
from hospital.audit import alarms, flood
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.roles import Role
from tests import minutes
from tests.conftest import PASSWORD

HERE, ELSEWHERE = "10.1.1.1", "10.2.2.2"
TYPED = "my-Secret-Passw0rd"  # into the wrong box


def log_in(username, password, address=HERE):
    return Client(REMOTE_ADDR=address).post(
        reverse("admin:login"), {"username": username, "password": password}
    )


def is_in(answer):
    """Whether the password was taken: whoever has no second factor goes on to enrol one."""
    return answer.status_code == 302


def miss(username, times, address=HERE):
    for number in range(times):
        answer = log_in(username, f"wrong-{number}", address)
        assert not is_in(answer)
    return answer


def told(action):
    return Event.objects.filter(action=action)


def age(**by):
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(**by))


def test_five_wrong_passwords_shut_the_account_to_the_right_one(chen):
    miss("chen", 5)

    assert not is_in(log_in("chen", PASSWORD))


def test_four_do_not(chen):
    miss("chen", 4)

    assert is_in(log_in("chen", PASSWORD))


def test_elsewhere_the_account_stays_open(chen):
    miss("chen", 5)

    assert is_in(log_in("chen", PASSWORD, ELSEWHERE))


@pytest.mark.parametrize("written", ["CHEN", " chen", "ｃｈｅｎ"])
def test_variations_of_a_name_have_no_more_tries_together(chen, written):
    for number in range(5):
        log_in(written if number % 2 else "chen", f"wrong-{number}")

    assert not is_in(log_in("chen", PASSWORD))


def test_it_opens_again_after_half_an_hour(chen):
    miss("chen", 5)

    age(minutes=29)
    assert not is_in(log_in("chen", PASSWORD))
    age(minutes=31)
    assert is_in(log_in("chen", PASSWORD))


def test_the_half_hour_begins_with_the_last_miss(chen):
    miss("chen", 4)
    age(minutes=14)
    miss("chen", 1)

    AccessAttempt.objects.update(attempt_time=F("attempt_time") - timedelta(minutes=29))

    assert not is_in(log_in("chen", PASSWORD))


def test_trying_on_does_not_shut_it_for_longer(chen):
    miss("chen", 5)
    age(minutes=20)

    miss("chen", 2)

    age_of = timezone.now() - AccessAttempt.objects.exclude(username="").get().attempt_time
    assert age_of > timedelta(minutes=19)


def test_misses_long_ago_do_not_count(chen):
    miss("chen", 4)
    age(minutes=16)

    miss("chen", 4)

    assert is_in(log_in("chen", PASSWORD))


def test_who_gets_in_has_all_tries_again(chen):
    miss("chen", 4)
    log_in("chen", PASSWORD)

    miss("chen", 4)

    assert is_in(log_in("chen", PASSWORD))


def test_a_right_password_before_the_second_factor_forgives_nothing(chen):
    signing = RequestFactory().post("/")
    miss("chen", 4)

    assert authenticate(signing, username="chen", password=PASSWORD)  # and no code after it

    miss("chen", 1)
    assert not is_in(log_in("chen", PASSWORD))


def test_a_right_password_is_no_failure(chen):
    for _ in range(30):
        assert is_in(log_in("chen", PASSWORD))

    assert not AccessAttempt.objects.filter(failures_since_start__gt=0).exists()


def test_nobody_is_told_that_an_account_is_locked_or_that_there_is_none(chen):
    page = miss("chen", 1, HERE).content
    for username in ("chen", "nobody"):
        miss(username, 5, ELSEWHERE)

    shut = [log_in(username, PASSWORD, ELSEWHERE) for username in ("chen", "nobody")]

    assert {
        plain(answer.content, who) for answer, who in zip(shut, ("chen", "nobody"), strict=True)
    }
    assert (
        len(
            {
                plain(one, who)
                for one, who in zip(
                    [page, *(answer.content for answer in shut)],
                    ("chen", "chen", "nobody"),
                    strict=True,
                )
            }
        )
        == 1
    )
    assert {answer.status_code for answer in shut} == {200}


def plain(page, username):
    """Without what is of this one answer: the name it repeats, and its token."""
    text = page.decode().replace(f'value="{username}"', "")
    head, _, rest = text.partition('name="csrfmiddlewaretoken" value="')
    return head + rest.partition('"')[2]


def test_an_unknown_account_is_shut_just_the_same(db):
    miss("nobody", 5)

    Staff.objects.create_user("nobody", PASSWORD, display_name="n", person_id="N")

    assert not is_in(log_in("nobody", PASSWORD))
    assert is_in(log_in("nobody", PASSWORD, ELSEWHERE))


def test_a_try_that_is_refused_counts_once_against_the_address(chen):
    miss("chen", 5)

    miss("chen", 1)

    assert AccessAttempt.objects.get(username="").failures_since_start == 6


def test_twenty_misses_shut_an_address_to_everybody(chen, mei):
    for number in range(20):
        miss(f"somebody-{number}", 1)

    assert not is_in(log_in("mei", PASSWORD))
    assert is_in(log_in("mei", PASSWORD, ELSEWHERE))


def test_who_gets_in_does_not_open_an_address_to_a_sprayer(chen):
    for number in range(19):
        miss(f"somebody-{number}", 1)
    assert is_in(log_in("chen", PASSWORD))

    miss("one-more", 1)

    assert not is_in(log_in("chen", PASSWORD))


def test_an_address_that_is_shut_makes_no_more_rows(db):
    for number in range(25):
        miss(f"somebody-{number}", 1)

    assert AccessAttempt.objects.count() == 21  # of 20 names, and of the address


def test_a_network_of_ipv6_is_one_address(chen):
    for number in range(5):
        miss("chen", 1, f"2001:db8:1:2::{number + 1}")

    assert not is_in(log_in("chen", PASSWORD, "2001:db8:1:2:ffff::1"))
    assert is_in(log_in("chen", PASSWORD, "2001:db8:1:3::1"))


def test_what_a_client_says_of_its_address_is_not_believed(chen):
    for number in range(5):
        Client(REMOTE_ADDR=HERE, headers={"X-Forwarded-For": f"10.9.9.{number}"}).post(
            reverse("admin:login"), {"username": "chen", "password": "wrong"}
        )

    assert not is_in(log_in("chen", PASSWORD))


def test_nothing_that_was_typed_is_kept(chen, caplog):
    caplog.set_level(0)
    for _ in range(6):
        Client(headers={"User-Agent": TYPED}).post(
            f"{reverse('admin:login')}?next={TYPED}", {"username": TYPED, "password": TYPED}
        )

    kept = [*AccessAttempt.objects.values_list(), *Event.objects.values_list("payload")]
    assert TYPED.casefold() not in str(kept).casefold()
    assert TYPED not in caplog.text
    assert {row.path_info for row in AccessAttempt.objects.all()} == {""}


def test_a_lock_is_on_record_once_and_alarms(chen):
    miss("chen", 8)

    [locked] = told("auth.lock")
    assert locked.object_id == str(chen.pk)
    assert '"severity":"alert"' in locked.payload
    alarms.watch(at=timezone.now())
    assert Finding.objects.filter(kind="logins-locked").count() == 1


def test_the_lock_of_an_unknown_account_names_nobody(db):
    miss("nobody", 6)

    assert told("auth.lock").get().object_id == ""


def test_a_lock_names_the_account_however_its_name_was_written(chen):
    for number in range(5):
        log_in("CHEN", f"wrong-{number}")

    assert told("auth.lock").get().object_id == str(chen.pk)
    assert {event.object_id for event in told("auth.login_failed")} == {str(chen.pk)}


def test_the_lock_of_an_address_is_on_record_once(db):
    for number in range(25):
        miss(f"somebody-{number}", 1)

    locked = told("auth.lock").get()
    assert locked.object_id == ""
    assert f'"ip":"{HERE}"' in locked.payload


def test_a_network_of_ipv6_does_not_fill_the_trail(db, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr(flood, "RECORDED", 3)
    for number in range(flood.RECORDED + 2):
        log_in("nobody", "wrong", f"2001:db8:1:2::{number + 1:x}")

    assert told("auth.login_failed").count() == flood.RECORDED


def test_the_system_administrator_unlocks(chen, lin):
    miss("chen", 5)
    now = timezone.now()
    assert lockout.is_shut_out(chen, at=now)

    lockout.unlock(chen, by=lin, at=now)

    assert not lockout.is_shut_out(chen, at=now)
    assert is_in(log_in("chen", PASSWORD))
    assert told("auth.unlock").get().actor_id == str(lin.pk)


def test_who_is_not_locked_cannot_be_unlocked(chen, lin):
    miss("chen", 4)

    with pytest.raises(lockout.NotLocked):
        lockout.unlock(chen, by=lin, at=timezone.now())
    assert not told("auth.unlock").exists()


def test_rows_that_count_for_nothing_go(chen):
    miss("chen", 5)

    assert lockout.forget(at=timezone.now() + timedelta(minutes=29)) == 0
    assert lockout.forget(at=timezone.now() + timedelta(minutes=31)) == 2


def test_guessing_the_old_password_on_the_page_that_changes_it_counts(chen, client):
    client.force_login(chen)
    change = {"new_password1": "Tulip-Harbour-77", "new_password2": "Tulip-Harbour-77"}
    for number in range(5):
        client.post(reverse("admin:password_change"), {"old_password": f"no-{number}", **change})

    answer = client.post(reverse("admin:password_change"), {"old_password": PASSWORD, **change})

    assert answer.status_code == 200
    chen.refresh_from_db()
    assert chen.check_password(PASSWORD)


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
    return done


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_have_no_more_tries(monkeypatch):
    Staff.objects.create_user(
        "chen", PASSWORD, display_name="chen", person_id="E", role=Role.REGISTRAR
    )
    looked_at = []
    check = Staff.check_password

    def counted(self, password):
        looked_at.append(password)
        return check(self, password)

    monkeypatch.setattr(Staff, "check_password", counted)
    at_once(20, lambda: log_in("chen", "wrong"))

    assert len(looked_at) == 5
    assert told("auth.lock").exclude(object_id="").count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_address_has_no_more_tries_at_once():
    taken = []

    def spray():
        name = f"somebody-{threading.get_ident()}"
        with_address = tracing.Trace(request_id=name, ip=HERE)
        token = tracing._trace.set(with_address)
        taken.append(lockout.take(name))
        tracing._trace.reset(token)

    at_once(30, spray)

    assert sorted(taken) == [False] * 10 + [True] * 20
