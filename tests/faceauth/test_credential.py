"""rawdata → authinfo: asked for once, by a worker, kept sealed, refreshed when the SDK says so."""

import base64
import json
import re
from datetime import timedelta
from uuid import UUID

import pytest
from django.core.cache import cache
from django.db import connection as database
from django.utils import timezone

from faceauth import merchant_keys, outage
from faceauth.credential import CONTEXT, DeviceUnregistered, cache_key, credential
from faceauth.flight import Flight
from faceauth.models import Slot
from faceauth.remedies import remedy
from faceauth.simulator.weather import Weather
from faceauth.views import _ask_worker
from faceauth.wechat.breaker import FAILURES
from hospital.audit.models import Event
from hospital.crypto import keyring, letterbox
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
            send=_ask_worker,
            at=at or timezone.now(),
        )

    return ask


@pytest.fixture
def under_way(ask, worker, settings, monkeypatch):
    """Somebody asked already; `end` it while the next one waits."""

    def under_way(end):
        worker.asleep, seats, settings.LONG_POLLS = True, settings.LONG_POLLS, 0
        with pytest.raises(Unavailable):
            ask()
        settings.LONG_POLLS = seats
        monkeypatch.setattr("faceauth.waiting.rest", lambda _seconds: end())

    return under_way


def _everything_cached():
    with database.cursor() as cursor:
        cursor.execute("SELECT value FROM cache WHERE cache_key LIKE '%authinfo%'")
        return [base64.b64decode(row[0]) for row in cursor.fetchall()]


def facts_of(action):
    """Newest first."""
    events = Event.objects.filter(action=action).order_by("-id")
    return [json.loads(event.payload)["facts"] for event in events]


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
    kiosk.terminal.store.save()

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
    sealed = cache.get(cache_key(kiosk.terminal, merchant))

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


@pytest.mark.parametrize(
    ("scenario", "told", "fact"),
    [
        ("device-unregistered", (409, "device_unregistered"), "device_unregistered"),
        ("sdk-outdated", (409, "sdk_outdated"), "sdk_outdated"),
        ("wrong-appid", (503, "wechat_misconfigured"), "appid_mch_id"),
    ],
)
@pytest.mark.usefixtures("merchant")
def test_a_refusal_says_who_has_to_act(kiosk, simulator, scenario, told, fact):
    simulator.expect(scenario, endpoint="authinfo")

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    [failed] = facts_of("authinfo.fail")
    assert (answer.status_code, answer.json()["code"]) == told
    assert failed["code"] == fact
    assert remedy(fact)


def test_refused_rawdata_is_to_be_taken_again(kiosk, merchant, monkeypatch):
    nothing = re.compile("(?!)")
    monkeypatch.setattr("faceauth.simulator.authinfo._RAWDATA", nothing)

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    assert answer.status_code == 422
    assert answer.json()["code"] == "rawdata_refused"
    assert answer.json()["detail"] == "终端数据已失效，请重新获取"
    assert [failed["code"] for failed in facts_of("authinfo.fail")] == ["rawdata"]


def test_a_wrong_key_is_for_the_hospital_to_mend(kiosk, merchant, settings):
    (settings.MERCHANT_KEYS_DIR / "apiv2_key").write_text("k" * 32)

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    [failed] = facts_of("authinfo.fail")
    assert answer.status_code == 503
    assert answer.json()["code"] == "wechat_misconfigured"
    assert answer.json()["detail"] == "医院的微信配置有误，请到人工窗口办理"
    assert answer.headers["Retry-After"] == "60"
    assert failed["code"] == "signature"


def test_a_store_whose_name_wechat_cannot_read_is_ours_to_mend(kiosk, merchant, simulator):
    kiosk.terminal.store.name = "门诊楼😀"
    kiosk.terminal.store.save()

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    assert answer.json()["code"] == "wechat_misconfigured"
    assert [failed["code"] for failed in facts_of("authinfo.fail")] == ["message"]
    assert simulator.requests()["authinfo"] == 0


def test_a_worker_without_keys_says_so_at_once(kiosk, merchant, worker, tmp_path):
    worker.environment = {"MERCHANT_KEYS_DIR": tmp_path / "nowhere"}

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    assert answer.status_code == 409
    assert answer.json()["code"] == "not_configured"
    assert [failed["code"] for failed in facts_of("authinfo.fail")] == ["not_configured"]


def test_a_web_process_without_the_workers_key_serves_authinfo(
    kiosk, merchant, worker, settings, tmp_path
):
    private, public = tmp_path / "worker.key", tmp_path / "worker.pub"
    letterbox.create(private=private, public=public)
    settings.WORKER_PUBLIC_KEY_FILE, settings.WORKER_KEY_FILE = str(public), ""
    key = (settings.MERCHANT_KEYS_DIR / merchant.apiv2_key_file).read_bytes()
    merchant.apiv2_key = merchant_keys.seal(merchant, Slot.APIV2_KEY, key)
    merchant.apiv2_key_file = ""
    merchant.save()
    assert kiosk.post("authinfo/", {"rawdata": RAWDATA}).json()["code"] == "not_configured"

    worker.environment = {"WORKER_KEY_FILE": str(private)}

    assert kiosk.post("authinfo/", {"rawdata": RAWDATA}).status_code == 200


def test_a_worker_is_told_two_ids_and_nothing_else(kiosk, merchant, worker):
    kiosk.post("authinfo/", {"rawdata": RAWDATA})
    kiosk.post("authinfo/", {"rawdata": RAWDATA})

    [heard] = worker.heard
    assert heard.keys() == {"terminal_id", "flight"}
    assert heard["terminal_id"] == str(kiosk.terminal.pk)
    assert UUID(heard["flight"])


def test_a_message_delivered_twice_asks_once(ask, worker, simulator):
    ask()

    worker.work()

    assert simulator.requests()["authinfo"] == 1


def test_what_landed_since_the_first_look_is_not_asked_for_again(ask, worker, monkeypatch):
    def meanwhile(*_args, **_kwargs):
        monkeypatch.undo()
        ask()
        return 0

    monkeypatch.setattr("faceauth.outage.seconds_left", meanwhile)

    ask()

    assert len(worker.heard) == len(_everything_cached()) == 1
    assert [issued["cached"] for issued in facts_of("authinfo.issue")] == [True, False]


def test_rawdata_waits_for_the_worker_sealed(ask, worker, settings):
    worker.asleep, settings.LONG_POLLS = True, 0
    with pytest.raises(Unavailable):
        ask()

    assert any(b"rawdata" in kept for kept in _everything_cached())
    assert not any(RAWDATA.encode() in kept for kept in _everything_cached())


def test_without_a_seat_the_answer_is_there_for_the_next_request(ask, settings):
    settings.LONG_POLLS = 0

    made = ask()

    assert made.authinfo


def test_nobody_waits_for_ever_for_a_worker(ask, kiosk, merchant, worker, monkeypatch):
    monkeypatch.setattr("faceauth.credential.PATIENCE", 0.1)
    worker.asleep = True

    with pytest.raises(Unavailable):
        ask()

    assert _everything_cached() == []
    worker.asleep = False
    assert ask().authinfo


def test_a_worker_that_dies_is_given_up_and_the_next_one_asked(
    ask, kiosk, merchant, worker, monkeypatch
):
    monkeypatch.setattr("faceauth.credential.PATIENCE", 0.1)
    monkeypatch.setattr(worker, "work", lambda: Flight.claim(UUID(worker.heard[-1]["flight"])))
    for _ in range(2):
        with pytest.raises(Unavailable):
            ask()
    assert len(worker.heard) == 1  # it may yet be asking
    monkeypatch.undo()

    cache.delete(f"{cache_key(kiosk.terminal, merchant)}:flight")  # what its life does

    assert ask().authinfo


def test_a_flight_given_up_is_not_waited_for(ask, kiosk, merchant, under_way):
    under_way(lambda: cache.delete(f"{cache_key(kiosk.terminal, merchant)}:flight"))

    with pytest.raises(Unavailable) as told:
        ask()

    assert told.value.retry_after == 1


def test_keys_that_are_away_leave_no_flight_behind(ask, kiosk, merchant, settings, tmp_path):
    keyring.clear()
    keys, settings.KEY_FILE = settings.KEY_FILE, tmp_path / "nowhere"
    with pytest.raises(Unavailable):
        ask()

    settings.KEY_FILE = keys

    assert ask().authinfo


def test_a_second_caller_gets_what_the_first_one_asked_for(ask, worker, simulator, under_way):
    under_way(worker.work)

    made = ask()

    assert made.authinfo
    assert [issued["cached"] for issued in facts_of("authinfo.issue")] == [True]
    assert len(worker.heard) == simulator.requests()["authinfo"] == 1


def test_everybody_who_waits_learns_of_a_failure_at_once(ask, worker, simulator, under_way):
    simulator.expect("device-unregistered", endpoint="authinfo")
    under_way(worker.work)

    with pytest.raises(DeviceUnregistered):
        ask()

    assert len(worker.heard) == len(facts_of("authinfo.fail")) == 1


def test_a_bug_in_the_worker_is_not_waited_for(kiosk, merchant, worker, monkeypatch):
    def broken(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr("faceauth.fetching.keep", broken)

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    monkeypatch.undo()
    assert kiosk.post("authinfo/", {"rawdata": RAWDATA}).status_code == 200


def test_a_broker_that_is_gone_is_an_answer_at_once(kiosk, merchant, settings):
    broker, aside = settings.VAR_DIR / "broker", settings.VAR_DIR / "broker-aside"
    broker.rename(aside)

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    aside.rename(broker)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert _everything_cached() == []
    assert kiosk.post("authinfo/", {"rawdata": RAWDATA}).status_code == 200


def test_a_cache_that_is_gone_is_worth_another_try(kiosk, merchant, settings):
    redis = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {"default": {"BACKEND": redis, "LOCATION": "redis://127.0.0.1:1/0"}}

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["Retry-After"]) >= 1


def test_while_wechat_is_down_no_worker_is_asked(kiosk, merchant, worker):
    outage.note(merchant, seconds=7, at=timezone.now())

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
    assert 1 <= int(answer.headers["Retry-After"]) <= 7
    assert worker.heard == []


def test_one_failure_is_no_outage(kiosk, merchant, simulator, worker):
    simulator.expect("500", endpoint="authinfo")
    kiosk.post("authinfo/", {"rawdata": RAWDATA})

    answer = kiosk.post("authinfo/", {"rawdata": RAWDATA})

    assert answer.status_code == 200


def test_a_breaker_that_opened_spares_the_others_the_worker(install, merchant, simulator, worker):
    simulator.expect("500", times=99, endpoint="authinfo")
    kiosks = [install(f"T-{n}") for n in range(FAILURES + 2)]

    answers = [kiosk.post("authinfo/", {"rawdata": RAWDATA}) for kiosk in kiosks]

    assert {answer.status_code for answer in answers} == {503}
    assert len(worker.heard) == FAILURES + 1
    assert simulator.requests()["authinfo"] == FAILURES
    assert facts_of("authinfo.fail")[0]["code"] == "circuit_open"


def test_what_is_kept_serves_while_wechat_is_down(ask, merchant):
    made = ask()

    outage.note(merchant, seconds=30, at=timezone.now())

    assert ask() == made


def test_every_issue_is_on_record_without_the_credential(ask):
    made = ask()
    ask()

    events = Event.objects.filter(action="authinfo.issue")
    assert ['"cached":true' in event.payload for event in events.order_by("id")] == [False, True]
    assert not any(made.authinfo in event.payload for event in events)


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
