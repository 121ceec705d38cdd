"""Which terminal signed this: every way a signature can be wrong, and the two it can be right."""

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from django.core.cache import cache, caches
from django.db import OperationalError
from django.utils import timezone
from http_message_signatures import HTTPMessageSigner, algorithms
from http_message_signatures.resolvers import MappingKeyResolver
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings
from hypothesis import strategies as st
from redis.exceptions import RedisError

from devices import suspension
from devices.agent import keys
from devices.agent.signing import TerminalAuth
from devices.authentication import AHEAD, NONCE_SECONDS, SKEW
from devices.models import TerminalKey
from hospital.audit.models import Event

COMPONENTS = ("@method", "@path", "@query", "content-digest")


def code_of(answer):
    return answer.json()["code"]


def resigned(kiosk, **changes):
    """Sign as the kiosk would, but for `changes`."""
    options = {
        "key_id": kiosk.key.pk,
        "created": datetime.now(UTC),
        "nonce": "n" * 32,
        "tag": "face-terminal-v1",
        "label": "sig1",
        "covered_component_ids": COMPONENTS,
        "include_alg": True,
        **changes,
    }
    signer = HTTPMessageSigner(
        signature_algorithm=algorithms.ECDSA_P256_SHA256,
        key_resolver=MappingKeyResolver(
            public_keys={}, private_keys={options["key_id"]: kiosk.private_key}
        ),
    )

    def auth(request: httpx.Request) -> httpx.Request:
        signer.sign(request, body=request.content, **options)
        return request

    return auth


@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "ed25519"])
def test_both_algorithms_are_accepted(install, notice, algorithm):
    kiosk = install("T-9", algorithm)

    assert kiosk.get("notice/").status_code == 200


def test_an_unsigned_request_is_turned_away_on_record(kiosk, notice):
    answer = kiosk.http.get("/api/v1/notice/", auth=lambda request: request)

    assert answer.status_code == 401
    assert code_of(answer) == "signature_missing"
    assert answer.headers["WWW-Authenticate"] == "Signature"
    event = Event.objects.filter(action="terminal.denied").get()
    assert event.outcome == "denied"
    assert event.request_id == answer.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "path",
    [
        "authinfo/",
        "face-sessions/",
        "heartbeat/",
        "face-sessions/01990000-0000-7000-8000-000000000000/sighting/",
    ],
)
def test_no_unsigned_call_works(kiosk, path):
    answer = kiosk.http.post(f"/api/v1/{path}", json={}, auth=lambda request: request)

    assert answer.status_code == 401


def test_a_key_nobody_registered_is_unknown(kiosk, notice):
    stranger = keys.make("ed25519")

    answer = kiosk.http.get("/api/v1/notice/", auth=TerminalAuth(stranger, keys.key_id(stranger)))

    assert code_of(answer) == "key_unknown"


def test_a_key_of_ones_own_under_anothers_name_is_invalid(kiosk, notice):
    answer = kiosk.http.get(
        "/api/v1/notice/", auth=TerminalAuth(keys.make("ecdsa-p256-sha256"), kiosk.key.pk)
    )

    assert answer.status_code == 401
    assert code_of(answer) == "signature_invalid"


def test_a_revoked_key_is_cut_off_on_the_next_request(kiosk, notice):
    assert kiosk.get("notice/").status_code == 200
    TerminalKey.objects.filter(pk=kiosk.key.pk).update(revoked_at=timezone.now())

    assert code_of(kiosk.get("notice/")) == "key_unknown"


def test_a_replay_is_refused(kiosk, notice):
    auth = resigned(kiosk)
    first = kiosk.http.get("/api/v1/notice/", auth=auth)

    second = kiosk.http.get("/api/v1/notice/", auth=auth)

    assert first.status_code == 200
    assert second.status_code == 401
    assert code_of(second) == "nonce_reused"


@pytest.mark.parametrize("seconds", [-302, 10, 301])
def test_early_and_late_are_refused_with_our_time(kiosk, notice, seconds):
    created = datetime.now(UTC) + timedelta(seconds=seconds)

    answer = kiosk.http.get("/api/v1/notice/", auth=resigned(kiosk, created=created))

    assert code_of(answer) == "clock_skew"
    ours = datetime.fromisoformat(answer.json()["server_time"])
    assert abs(ours - timezone.now()) < timedelta(seconds=5)


@pytest.mark.parametrize("seconds", [-295, 3])
def test_a_clock_that_is_a_little_off_is_accepted(kiosk, notice, seconds):
    created = datetime.now(UTC) + timedelta(seconds=seconds)

    answer = kiosk.http.get("/api/v1/notice/", auth=resigned(kiosk, created=created))

    assert answer.status_code == 200


def test_a_terminal_ahead_of_us_cannot_be_replayed_later(kiosk, notice):
    """A nonce is remembered for as long as its signature could still be fresh."""
    assert (SKEW + AHEAD).total_seconds() < NONCE_SECONDS


@pytest.mark.parametrize("left_out", COMPONENTS)
def test_each_component_is_required(kiosk, notice, left_out):
    covered = tuple(name for name in COMPONENTS if name != left_out)
    auth = resigned(kiosk, covered_component_ids=covered)

    def strip(request):
        auth(request)
        return request

    answer = kiosk.http.get("/api/v1/notice/", auth=strip)

    if left_out == "content-digest":  # the signer adds it by itself, at the end
        assert answer.status_code == 200
    else:
        assert code_of(answer) == "signature_invalid"


def test_a_fifth_component_is_not_our_profile(kiosk, notice):
    auth = resigned(kiosk, covered_component_ids=(*COMPONENTS, "@authority"))

    assert code_of(kiosk.http.get("/api/v1/notice/", auth=auth)) == "signature_invalid"


@pytest.mark.parametrize(
    "change",
    [{"tag": "other"}, {"tag": None}, {"nonce": None}, {"nonce": "short"}, {"include_alg": False}],
    ids=["tag", "no-tag", "no-nonce", "short-nonce", "no-alg"],
)
def test_each_parameter_is_required(kiosk, notice, change):
    answer = kiosk.http.get("/api/v1/notice/", auth=resigned(kiosk, **change))

    assert answer.status_code == 401
    assert code_of(answer) == "signature_invalid"


def test_a_parameter_more_is_not_our_profile(kiosk, notice):
    later = datetime.now(UTC) + timedelta(hours=1)

    answer = kiosk.http.get("/api/v1/notice/", auth=resigned(kiosk, expires=later))

    assert code_of(answer) == "signature_invalid"


def test_a_full_cache_forgets_no_nonce_that_is_still_valid(kiosk, notice, settings, monkeypatch):
    monkeypatch.setitem(settings.CACHES["default"]["OPTIONS"], "MAX_ENTRIES", 5)
    monkeypatch.setattr(caches["default"], "_max_entries", 5)
    auth = resigned(kiosk)
    assert kiosk.http.get("/api/v1/notice/", auth=auth).status_code == 200
    for number in range(30):
        cache.set(f"filler-{number}", number, 600)

    assert code_of(kiosk.http.get("/api/v1/notice/", auth=auth)) == "nonce_reused"


def test_a_changed_body_is_refused(kiosk, merchant, simulator):
    request = kiosk.http.build_request("POST", "/api/v1/authinfo/", json={"rawdata": "AAAA"})
    signed = resigned(kiosk)(request)
    tampered = httpx.Request(
        "POST", signed.url, headers=signed.headers, content=b'{"rawdata":"BBBB"}'
    )
    tampered.headers["Content-Length"] = "18"

    answer = kiosk.http.send(tampered, auth=lambda request: request)

    assert code_of(answer) == "signature_invalid"
    assert simulator.requests()["authinfo"] == 0


@pytest.mark.parametrize("change", ["method", "path", "query"])
def test_a_signature_is_for_one_request_only(kiosk, notice, change):
    signed = resigned(kiosk)(kiosk.http.build_request("GET", "/api/v1/notice/"))
    method, url = {
        "method": ("POST", "/api/v1/notice/"),
        "path": ("GET", "/api/v1/authinfo/"),
        "query": ("GET", "/api/v1/notice/?wait=1"),
    }[change]
    moved = kiosk.http.build_request(method, url, headers=signed.headers)

    answer = kiosk.http.send(moved, auth=lambda request: request)

    assert code_of(answer) == "signature_invalid"


def test_a_suspended_terminal_is_told_so_on_its_next_request(kiosk, notice, lin):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="屏幕损坏")

    answer = kiosk.get("notice/")

    assert answer.status_code == 403
    assert code_of(answer) == "terminal_suspended"
    assert "人工窗口" in answer.json()["detail"]
    assert Event.objects.filter(action="terminal.denied", actor_type="terminal").exists()


def test_a_suspended_terminal_still_hears_why(kiosk, notice, lin):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="屏幕损坏")
    beat = {
        "agent_version": "1",
        "sdk_version": "1.26",
        "os": "win",
        "camera": "ready",
        "clock": time.time() + 4,
    }

    answer = kiosk.post("heartbeat/", beat)

    assert answer.json()["suspension"] == {"reason": "屏幕损坏"}
    assert 3 < answer.json()["clock_offset"] < 5
    assert answer.json()["notice_version"] == 3


@property_settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    sig_input=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200),
    signature=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200),
)
def test_any_header_is_refused_and_never_a_crash(kiosk, sig_input, signature):
    answer = kiosk.http.get(
        "/api/v1/notice/",
        auth=lambda request: request,
        headers={"Signature-Input": sig_input, "Signature": signature},
    )

    assert answer.status_code == 401


@pytest.mark.parametrize("gone", [RedisError, OperationalError], ids=["cache", "database"])
def test_who_cannot_be_put_on_record_is_asked_to_come_again(kiosk, monkeypatch, gone):
    def admit(*_what, **_how):
        raise gone

    monkeypatch.setattr("hospital.audit.flood.admit", admit)

    answer = kiosk.http.get("/api/v1/notice/", auth=None)

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
