"""rawdata → authinfo: asked for once, kept sealed, refreshed when the SDK says so."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection as database
from django.utils import timezone

from faceauth import connection
from faceauth.credential import CONTEXT, Refused, _cache_key, credential
from faceauth.simulator.weather import Weather
from hospital.audit.models import Event
from hospital.crypto.fields import open_text
from hospital.crypto.sealing import Tampered
from hospital.errors import Unavailable

RAWDATA = "H0kvnUgGHKuqflNwtNqCdOVpbO4FPSowudTG"


@pytest.fixture
def ask(kiosk, merchant):
    def ask(*, refresh=False, at=None, terminal=None):
        return credential(
            terminal or kiosk.terminal,
            rawdata=RAWDATA,
            refresh=refresh,
            merchant=merchant,
            client=connection.authinfo_client(merchant),
            at=at or timezone.now(),
        )

    return ask


def test_a_terminal_gets_everything_the_sdk_needs(kiosk, merchant):
    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    body = answer.json()
    assert answer.status_code == 200
    assert body["authinfo"]
    assert 0 < body["expires_in"] <= 3300
    assert body["appid"] == merchant.appid
    assert body["mch_id"] == merchant.mch_id
    assert body["store_id"] == "menzhen"
    assert body["face_authtype"] == "FACE_AUTH"


def test_wechat_is_asked_once_within_its_life(ask, simulator):
    first, second = ask(), ask()

    assert second.authinfo == first.authinfo
    assert simulator.requests()["authinfo"] == 1


def test_another_terminal_gets_its_own(ask, install, simulator):
    other = install("T-2")

    assert ask().authinfo != ask(terminal=other.terminal).authinfo
    assert simulator.requests()["authinfo"] == 2


def test_a_terminal_that_moves_to_another_store_gets_a_new_one(ask, kiosk, simulator):
    ask()
    kiosk.terminal.store.code = "jizhen"

    ask()

    assert simulator.requests()["authinfo"] == 2


def test_it_is_asked_again_before_it_expires(ask, simulator):
    now = timezone.now()
    first = ask(at=now)

    ask(at=first.expires_at)

    assert first.expires_at - now == timedelta(seconds=3300)
    assert simulator.requests()["authinfo"] == 2


def test_a_refresh_asks_again_but_a_storm_of_them_does_not(ask, simulator):
    now = timezone.now()
    ask(at=now)

    for seconds in (10, 11, 12):
        ask(refresh=True, at=now + timedelta(seconds=seconds))

    assert simulator.requests()["authinfo"] == 2


def test_what_is_kept_is_sealed(ask, kiosk):
    made = ask()

    [kept] = [value for value in _everything_cached() if value]
    assert made.authinfo.encode() not in kept
    assert made.authinfo not in repr(made)


def test_a_credential_sealed_for_one_terminal_does_not_open_for_another(ask, install, merchant):
    kiosk, other = install("T-3"), install("T-4")
    ask(terminal=kiosk.terminal)
    sealed = cache.get(_cache_key(kiosk.terminal, merchant))

    with pytest.raises(Tampered):
        open_text(sealed, context=CONTEXT, row=other.terminal.pk)


@pytest.mark.parametrize("weather", ["500", "down", "forged", "unsigned", "malformed", "entities"])
def test_a_bad_answer_is_503_and_nothing_is_kept(kiosk, merchant, simulator, weather):
    simulator.expect(weather, times=9, endpoint="authinfo")

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["Retry-After"]) >= 1
    assert Event.objects.filter(action="authinfo.fail", outcome="failed").count() == 1
    simulator.weather = Weather()
    assert kiosk.post("authinfo/", {"rawdata": RAWDATA}).status_code == 200


def test_a_refusal_by_wechat_is_our_configuration(kiosk, merchant, simulator):
    merchant.appid = "wx9999999999999999"
    merchant.save()

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    assert answer.status_code == 409
    assert answer.json()["code"] == Refused.code


def test_a_second_caller_does_not_wait_for_ever(ask, kiosk, merchant, monkeypatch):
    monkeypatch.setattr("faceauth.credential.PATIENCE", 0.1)
    cache.add(f"{_cache_key(kiosk.terminal, merchant)}:flight", "somebody", 15)

    with pytest.raises(Unavailable):
        ask()


def test_every_issue_is_on_record_without_the_credential(ask):
    made = ask()
    ask()

    events = Event.objects.filter(action="authinfo.issue")
    assert ['"cached":true' in event.payload for event in events.order_by("id")] == [False, True]
    assert not any(made.authinfo in event.payload for event in events)


def _everything_cached():
    with database.cursor() as cursor:
        cursor.execute("SELECT value FROM cache WHERE cache_key LIKE '%authinfo%'")
        return [row[0].encode() for row in cursor.fetchall()]


def test_a_retried_refresh_does_not_refresh_twice(kiosk, merchant, simulator, monkeypatch):
    monkeypatch.setattr("faceauth.credential.FRESH", timedelta(0))
    kiosk.post("authinfo/", {"rawdata": RAWDATA})
    body, key = {"rawdata": RAWDATA, "refresh": True}, {"Idempotency-Key": "refresh-0001"}

    first, second = kiosk.post("authinfo/", body, **key), kiosk.post("authinfo/", body, **key)

    assert first.json()["authinfo"] == second.json()["authinfo"]
    assert simulator.requests()["authinfo"] == 2


def test_a_refresh_that_failed_is_not_taken_for_done(kiosk, merchant, simulator, monkeypatch):
    monkeypatch.setattr("faceauth.credential.FRESH", timedelta(0))
    stale = kiosk.post("authinfo/", {"rawdata": RAWDATA}).json()["authinfo"]
    body, key = {"rawdata": RAWDATA, "refresh": True}, {"Idempotency-Key": "refresh-0001"}
    simulator.expect("down", endpoint="authinfo")
    assert kiosk.post("authinfo/", body, **key).status_code == 503

    answer = kiosk.post("authinfo/", body, **key)

    assert answer.json()["authinfo"] != stale


def test_an_idempotency_key_is_for_one_request(kiosk, merchant):
    key = {"Idempotency-Key": "refresh-0001"}
    kiosk.post("authinfo/", {"rawdata": RAWDATA}, **key)

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA + "AA"}, **key)

    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_key_reused"


def test_an_idempotency_key_has_a_shape(kiosk, merchant):
    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA}, **{"Idempotency-Key": "short"})

    assert answer.status_code == 400
