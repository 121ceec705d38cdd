import base64
import hashlib
import itertools
import json
import random
import stat
import time
import traceback
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, algorithms
from http_message_signatures.resolvers import MappingKeyResolver

from devices.agent import __main__ as program
from devices.agent import activation, keys, people
from devices.agent.api import Problem, Server, Unreachable
from devices.agent.loop import attempt, run
from devices.agent.signing import TerminalAuth
from devices.agent.visit import Terminal
from devices.agent.wire import Wire
from devices.sdk import FaceSDK
from devices.sdk.simulated import SimulatedLibrary

SECRETS = ("sid-1", "openid-1", "authinfo-", "token-1", "三三")
SESSION = "01930000-0000-7000-8000-000000000001"
PATIENT = {"number": "P0000001", "masked_name": "张*"}
COMPONENTS = ('"@method"', '"@path"', '"@query"', '"content-digest"')
KEY = keys.make("ecdsa-p256-sha256")


class AnyAge(HTTPMessageVerifier):
    max_clock_skew = timedelta(days=1)  # the hospital below judges the clock itself


class Hospital:
    """
    A server with one terminal, in memory: checks every signature, answers as the API does.

    `ends` is how a visit ends. `weather` is taken one by one before a request is looked at:
    a response, an exception, or None for a fine day.
    """

    def __init__(self, public_key=None, *, ends="onboarded", known=False, expires_in=3600):
        self.public_key = public_key or KEY.public_key()
        self.ends = ends
        self.known = known
        self.expires_in = expires_in
        self.weather = []
        self.requests = []
        self.signatures = []

    def __call__(self, request):
        weather = self.weather.pop(0) if self.weather else None
        body = json.loads(request.content or b"null")
        self.requests.append((request.method, request.url.path[8:], body))
        if isinstance(weather, Exception):
            raise weather
        if weather is not None:
            return weather
        if body and "public_key" in body:
            self.public_key = load_pem_public_key(body["public_key"].encode())
        try:
            created = self.verify(request)
        except InvalidSignature:
            return problem(401, "signature_invalid")
        if abs(created - time.time()) > 300:
            now = datetime.now(UTC).isoformat()
            return problem(401, "clock_skew", server_time=now)
        return self.answer(request.url.path[8:])

    def verify(self, request):
        key_id = key_id_of(self.public_key)
        is_ed25519 = "Ed25519" in type(self.public_key).__name__
        verifier = AnyAge(
            signature_algorithm=algorithms.ED25519 if is_ed25519 else algorithms.ECDSA_P256_SHA256,
            key_resolver=MappingKeyResolver(public_keys={key_id: self.public_key}, private_keys={}),
        )
        [result] = verifier.verify(
            request, expect_tag="face-terminal-v1", expect_label="sig1", body=request.content
        )
        self.signatures.append(result)
        return result.parameters["created"]

    def answer(self, path):
        if path.startswith(f"face-sessions/{SESSION}/"):
            return self.answer_about_the_session(path.split("/")[2])
        body, now = self.requests[-1][2], datetime.now(UTC).isoformat()
        match path:
            case "terminals/activation/":
                terminal = {"id": SESSION, "serial": "T-01", "name": "门诊一号"}
                store = {"code": "S1", "name": "门诊楼"}
                key_id = key_id_of(self.public_key)
                answer = {"terminal": terminal, "key_id": key_id, "store": store}
            case "authinfo/":
                merchant = {"appid": "wx1", "mch_id": "1900000001", "store_id": "S1"}
                credential = f"authinfo-{self.paths().count('authinfo/')}"
                answer = {**merchant, "authinfo": credential, "face_authtype": "FACE_AUTH"}
                answer["expires_in"] = self.expires_in
            case "notice/":
                purposes = [
                    {"code": "register", "label": "建档", "required": True},
                    {"code": "remind", "label": "提醒", "required": False},
                ]
                answer = {"version": 3, "digest": "d", "title": "告知书", "text": "……"}
                answer |= {"purposes": purposes, "fallback": "人工窗口"}
            case "face-sessions/":
                state = "opened" if body["granted"] else "refused"
                answer = {"id": SESSION, "state": state, "fallback": "人工窗口"}
                answer |= {"ask_unionid": "1"} if "kind" in body else {}
            case "heartbeat/":
                answer = {"clock_offset": 0.0, "notice_version": 3}
        return said(200, server_time=now, **answer)

    def answer_about_the_session(self, resource):
        answer = {"id": SESSION, "state": self.ends}
        match resource:
            case "sighting" if "token" in self.requests[-1][2]:
                answer |= {"state": "authorized"}
            case "sighting" if self.known:
                answer |= {"state": "recognised", "quit_face_auth": "1", "patient": PATIENT}
            case "sighting":
                answer |= {"state": "seen", "quit_face_auth": "0"}
            case "authorization":
                if self.requests[-1][2]["return_code"] != "SUCCESS":
                    self.ends = "declined"
                answer |= {"state": "authorized"}
            case "" if self.ends in ("onboarded", "recognised"):
                answer |= {"patient": PATIENT}
        return said(200, **answer)

    def paths(self):
        return [path for _, path, _ in self.requests]

    def bodies(self, path):
        return [body for _, requested, body in self.requests if requested == path]


class Room:
    """The simulator's camera: `scans` are its next answers, then it sees somebody."""

    def __init__(self, *scans, authorization="SUCCESS"):
        self.scans = list(scans)
        self.authorization = authorization
        self.posted = []

    def __call__(self, request):
        body = json.loads(request.content)
        self.posted.append(body)
        if request.url.path == "/_sim/authorize":
            return said(200, return_code=self.authorization, return_msg="")
        seen = {"return_code": "SUCCESS", "openid": "openid-1"}
        if request.url.path == "/_sim/userinfo":
            seen |= {"nickname": "三三", "token": "token-1", "unionid_code": "SUCCESS"}
        else:
            seen |= {"face_sid": "sid-1"}
        return said(200, **(self.scans.pop(0) if self.scans else seen))

    def answers_asked_for(self):
        return [body["quit_face_auth"] for body in self.posted if "quit_face_auth" in body]


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now = 0.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def said(status, **fields):
    return httpx.Response(status, json=fields)


def problem(status, code, *, retry_after=None, **fields):
    return httpx.Response(
        status,
        json={"type": "about:blank", "status": status, "code": code, "detail": "说明", **fields},
        headers={"Content-Type": "application/problem+json"}
        | ({"Retry-After": str(retry_after)} if retry_after is not None else {}),
    )


def key_id_of(public_key):
    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")


def wire_to(hospital, *, auth=None, clock=None):
    clock = clock or Clock()
    auth = auth or TerminalAuth(KEY, keys.key_id(KEY))
    transport = httpx.MockTransport(hospital)
    return Wire("http://h", auth, transport=transport, clock=clock, sleep=clock.sleep)


def terminal_at(hospital, room=None, *, clock=None, said=None):
    clock = clock or Clock()
    transport = httpx.MockTransport(room or Room())
    camera = FaceSDK(SimulatedLibrary("http://room", lambda: "stranger-1", transport=transport))
    say = (said if said is not None else []).append
    server = Server(wire_to(hospital, clock=clock))
    return Terminal(server, camera, say=say, clock=clock, sleep=clock.sleep)


def agrees(_notice):
    return True


def refuses(_notice):
    return False


# Keys and signatures


@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "ed25519"])
def test_every_request_is_signed_by_the_profile(algorithm):
    key = keys.make(algorithm)
    hospital = Hospital(key.public_key())
    wire = wire_to(hospital, auth=TerminalAuth(key, keys.key_id(key)))

    wire.get(f"face-sessions/{SESSION}/", wait=10)
    wire.post("heartbeat/", {})

    for result in hospital.signatures:
        assert tuple(result.covered_components)[:-1] == COMPONENTS
        assert result.parameters["alg"] == algorithm
        assert result.parameters["keyid"] == key_id_of(key.public_key())
        assert len(base64.urlsafe_b64decode(result.nonce + "==")) >= 16
    get, post = hospital.signatures
    assert get.covered_components['"@query"'] == "?wait=10"
    assert get.body == b""
    assert post.body == b"{}"
    assert get.nonce != post.nonce


def test_another_body_is_not_what_was_signed():
    auth = TerminalAuth(KEY, keys.key_id(KEY))
    request = httpx.Request("POST", "http://h/api/v1/heartbeat/", content=b"{}")
    signed = next(auth.auth_flow(request))
    forged = httpx.Request("POST", signed.url, content=b"[]", headers=signed.headers)

    with pytest.raises(InvalidSignature):
        Hospital().verify(forged)


def test_a_key_survives_its_pem():
    for algorithm in ("ecdsa-p256-sha256", "ed25519"):
        key = keys.make(algorithm)

        again = keys.from_pem(keys.to_pem(key))

        assert keys.key_id(again) == keys.key_id(key) == key_id_of(key.public_key())


def test_a_damaged_key_is_unusable():
    with pytest.raises(keys.UnusableKey):
        keys.from_pem(b"-----BEGIN PRIVATE KEY-----\n")


# The wire


def test_a_wrong_clock_is_corrected_once_and_for_all():
    hospital = Hospital()
    auth = TerminalAuth(KEY, keys.key_id(KEY), clock=lambda: time.time() - 86_000)
    wire = wire_to(hospital, auth=auth)

    wire.post("heartbeat/", {})
    wire.post("heartbeat/", {})

    assert len(hospital.requests) == 3
    assert auth.offset == pytest.approx(86_000, abs=2)


def test_a_server_that_never_agrees_on_the_time_is_not_asked_for_ever():
    hospital = Hospital()
    hospital.weather = [problem(401, "clock_skew", server_time=1.0) for _ in range(9)]
    wire = wire_to(hospital)

    with pytest.raises(Problem, match="clock_skew"):
        wire.post("heartbeat/", {})

    assert len(hospital.requests) == 2


@pytest.mark.parametrize(
    "weather",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(502, text="<html>"),
        problem(503, "unavailable"),
        problem(429, "throttled", retry_after=2),
        problem(409, "in_flight", retry_after=1),
    ],
)
def test_a_retried_post_is_one_request_to_the_server(weather):
    sent = []
    hospital = Hospital()
    hospital.weather = [weather, None]
    wire = wire_to(lambda request: sent.append(request) or hospital(request))

    wire.post("face-sessions/", {"granted": True})

    first, second = sent
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.content == second.content
    assert first.headers["Signature-Input"] != second.headers["Signature-Input"]


def test_two_posts_are_two_requests():
    sent = []
    hospital = Hospital()
    wire = wire_to(lambda request: sent.append(request) or hospital(request))

    wire.post("heartbeat/", {})
    wire.post("heartbeat/", {})

    assert len({request.headers["Idempotency-Key"] for request in sent}) == 2


def test_retry_after_is_waited_out():
    clock = Clock()
    hospital = Hospital()
    hospital.weather = [problem(503, "unavailable", retry_after=17)]

    wire_to(hospital, clock=clock).post("heartbeat/", {})

    assert clock.slept == [17]


def test_patience_has_an_end():
    clock = Clock()
    hospital = Hospital()
    hospital.weather = [httpx.ConnectError("refused") for _ in range(1000)]

    with pytest.raises(Unreachable, match="ConnectError"):
        wire_to(hospital, clock=clock).get("notice/")

    assert 50 < clock.now <= 60


def test_a_refusal_is_not_retried():
    hospital = Hospital()
    hospital.weather = [problem(409, "wrong_state")]

    with pytest.raises(Problem) as caught:
        wire_to(hospital).post("face-sessions/", {})

    assert (caught.value.code, caught.value.status) == ("wrong_state", 409)
    assert caught.value.detail == "说明"
    assert len(hospital.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(200, text="{", headers={"Content-Type": "application/json"}),
    ],
)
def test_what_is_not_our_server_is_called_so(answer):
    hospital = Hospital()
    hospital.weather = [answer]

    with pytest.raises(Problem, match="not_our_server"):
        Server(wire_to(hospital)).notice()


def test_a_session_id_that_is_no_uuid_never_becomes_an_address():
    hospital = Hospital()
    hospital.weather = [said(201, id="../../healthz", state="opened")]

    with pytest.raises(Problem, match="not_our_server"):
        Server(wire_to(hospital)).open(notice_version=3, granted=True, purposes=[])


# The visit


def test_a_stranger_becomes_a_patient():
    told = []
    hospital, room = Hospital(), Room()
    terminal = terminal_at(hospital, room, said=told)

    visit = terminal.visit(consent=agrees)

    assert (visit.state, visit.patient, visit.masked_name) == ("onboarded", "P0000001", "张*")
    assert visit.seconds is not None
    assert hospital.paths() == [
        "notice/",
        "face-sessions/",
        "authinfo/",
        f"face-sessions/{SESSION}/sighting/",
        f"face-sessions/{SESSION}/authorization/",
        f"face-sessions/{SESSION}/",
    ]
    assert hospital.bodies("face-sessions/") == [
        {"notice_version": 3, "granted": True, "purposes": ["register"]}
    ]
    assert hospital.bodies(f"face-sessions/{SESSION}/sighting/") == [
        {"face_sid": "sid-1", "openid": "openid-1"}
    ]
    assert hospital.bodies(f"face-sessions/{SESSION}/authorization/") == [
        {"return_code": "SUCCESS"}
    ]
    assert room.answers_asked_for() == ["0"]
    assert not any(secret in "".join(told) + repr(visit) for secret in SECRETS)


def test_who_refuses_the_notice_is_not_looked_at():
    told = []
    hospital, room = Hospital(), Room()

    visit = terminal_at(hospital, room, said=told).visit(consent=refuses)

    assert (visit.state, visit.seconds) == ("refused", None)
    assert hospital.bodies("face-sessions/") == [
        {"notice_version": 3, "granted": False, "purposes": []}
    ]
    assert room.posted == []
    assert "人工窗口" in told[-1]


def test_a_known_patient_is_not_asked_again():
    hospital, room = Hospital(known=True), Room()

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert (visit.state, visit.patient) == ("recognised", "P0000001")
    assert room.answers_asked_for() == ["1"]
    assert hospital.paths()[-1].endswith("sighting/")


def test_a_screen_closed_unasked_is_no_authorization():
    hospital, room = Hospital(ends="failed"), Room()
    seen = said(200, id=SESSION, state="opened", quit_face_auth="1")
    hospital.weather = [None, None, None, seen]

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert visit.state == "failed"
    assert room.answers_asked_for() == ["1"]
    assert not any(path.endswith("authorization/") for path in hospital.paths())


def test_who_says_no_on_wechats_screen_is_reported():
    hospital, room = Hospital(), Room(authorization="USER_CANCEL")

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert visit.state == "declined"
    assert hospital.bodies(f"face-sessions/{SESSION}/authorization/") == [
        {"return_code": "USER_CANCEL"}
    ]


@pytest.mark.parametrize("ends", ["guardian_required", "failed", "expired"])
def test_every_final_state_ends_the_visit(ends):
    visit = terminal_at(Hospital(ends=ends)).visit(consent=agrees)

    assert (visit.state, visit.patient) == (ends, "")


def test_the_credential_is_kept_until_it_runs_out():
    clock = Clock()
    hospital = Hospital(expires_in=3600)
    terminal = terminal_at(hospital, clock=clock)

    for moment in (0, 3000, 3541):
        clock.now = moment
        terminal.visit(consent=agrees)

    assert hospital.paths().count("authinfo/") == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"return_code": "PARAM_ERROR", "return_msg": "AuthInfo License Error"},
        {"return_code": "ERROR", "err_code": 271382020},
    ],
)
def test_an_expired_credential_is_refreshed_once(answer):
    hospital, room = Hospital(), Room(answer)

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert visit.state == "onboarded"
    first, second = hospital.bodies("authinfo/")
    assert "refresh" not in first
    assert second["refresh"] is True


@pytest.mark.parametrize(("refusals", "state"), [(1, "onboarded"), (2, "interrupted")])
def test_refused_rawdata_is_taken_again_once(refusals, state):
    hospital = Hospital()
    hospital.weather = [None, None, *[problem(422, "rawdata_refused")] * refusals]
    guests = people.Synthetic(iter([people.Person("stranger-1")]))

    visit, _pause = attempt(terminal_at(hospital), guests, say=print)

    assert visit.state == state
    assert hospital.paths().count("authinfo/") == 2


def test_a_credential_that_stays_expired_ends_the_visit():
    expired = {"return_code": "ERROR", "err_code": 271382020}
    hospital, room = Hospital(), Room(expired, expired, expired)
    guests = people.Synthetic(iter([people.Person("stranger-1")]))

    visit, pause = attempt(terminal_at(hospital, room), guests, say=print)

    assert (visit.state, pause) == ("interrupted", 5)
    assert visit.reason == "CREDENTIAL_EXPIRED 调用凭证已失效"
    assert hospital.paths().count("authinfo/") == 2


def test_a_restarted_face_service_is_initialised_again():
    hospital, room = Hospital(), Room({"return_code": "FAIL", "err_code": 271378620})

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert visit.state == "onboarded"


def test_the_screen_is_closed_when_the_server_fails_us():
    clock, hospital, room = Clock(), Hospital(), Room()
    fine = [None, None, None]
    hospital.weather = [*fine, problem(403, "terminal_suspended")]
    terminal = terminal_at(hospital, room, clock=clock)

    with pytest.raises(Problem, match="terminal_suspended"):
        terminal.visit(consent=agrees)

    assert room.answers_asked_for() == ["1"]
    assert terminal.visit(consent=agrees).state == "onboarded"


def test_a_server_that_restarts_during_a_visit_is_waited_for():
    clock, hospital = Clock(), Hospital()
    gone = [httpx.ConnectError("refused") for _ in range(8)]
    hospital.weather = [None, None, None, None, *gone, None, httpx.ReadError("reset")]

    visit = terminal_at(hospital, clock=clock).visit(consent=agrees)

    assert visit.state == "onboarded"


def test_the_wait_for_a_slow_server_ends_and_is_not_a_busy_one():
    clock, hospital = Clock(), Hospital(ends="authorized")

    visit = terminal_at(hospital, clock=clock).visit(consent=agrees)

    assert (visit.state, visit.seconds) == ("authorized", None)
    assert 120 <= clock.now < 125
    assert len(hospital.requests) < 250


def test_no_secret_is_in_the_traceback_of_an_outage():
    hospital = Hospital()
    hospital.weather = [None, None, None, *[httpx.ConnectError("x") for _ in range(99)]]

    with pytest.raises(Unreachable) as caught:
        terminal_at(hospital).visit(consent=agrees)

    shown = "".join(traceback.format_exception(caught.value))
    assert not any(secret in shown for secret in SECRETS)
    assert caught.value.__context__ is None


# The second kind


def test_a_known_patient_is_recognised_and_nobody_is_asked_for_a_name():
    hospital, room, told = Hospital(ends="recognised"), Room(), []

    visit = terminal_at(hospital, room, said=told).recognise(consent=agrees)

    assert (visit.state, visit.patient) == ("recognised", "P0000001")
    assert isinstance(visit.seconds, float)
    [opening] = hospital.bodies("face-sessions/")
    assert opening["kind"] == "FACEID-ONCE"
    assert hospital.bodies(f"face-sessions/{SESSION}/sighting/") == [
        {"openid": "openid-1", "token": "token-1"}
    ]
    assert not any(path.endswith("authorization/") for path in hospital.paths())
    assert [body["ask_unionid"] for body in room.posted] == ["1"]
    assert not any(secret in "".join(told) for secret in SECRETS)


def test_a_patient_recognised_at_once_is_not_waited_for():
    openid_alone = {"return_code": "SUCCESS", "openid": "openid-1"}
    hospital = Hospital(known=True)

    visit = terminal_at(hospital, Room(openid_alone)).recognise(consent=agrees)

    assert (visit.state, visit.patient) == ("recognised", "P0000001")
    assert hospital.paths()[-1].endswith("sighting/")


def test_who_refuses_is_not_recognised_either():
    room = Room()

    visit = terminal_at(Hospital(), room).recognise(consent=refuses)

    assert visit.state == "refused"
    assert room.posted == []


def test_one_credential_serves_both_kinds():
    hospital = Hospital(ends="recognised")
    terminal = terminal_at(hospital)

    terminal.recognise(consent=agrees)
    terminal.visit(consent=agrees)

    assert hospital.paths().count("authinfo/") == 1


def test_an_expired_credential_is_refreshed_for_a_member_too():
    hospital = Hospital(ends="recognised")
    room = Room({"return_code": "ERROR", "err_code": 271382020})

    visit = terminal_at(hospital, room).recognise(consent=agrees)

    assert visit.state == "recognised"
    assert hospital.bodies("authinfo/")[1]["refresh"] is True


# The loop


def test_the_loop_goes_on_after_an_outage():
    clock, hospital, visits = Clock(), Hospital(), []
    hospital.weather = [None, problem(503, "unavailable", retry_after=90)]
    guests = people.Synthetic(iter([people.Person("stranger-1"), people.Person("stranger-2")]))
    terminal, server = terminal_at(hospital, clock=clock), Server(wire_to(hospital, clock=clock))

    run(
        terminal,
        server,
        guests,
        every=1,
        sdk_version="simulated",
        say=print,
        report=visits.append,
        sleep=clock.sleep,
        clock=clock,
    )

    assert [visit.state for visit in visits] == ["interrupted", "onboarded"]
    assert visits[0].reason == "unavailable 说明"
    assert clock.now == pytest.approx(91)


def test_a_quiet_terminal_still_beats():
    clock, hospital = Clock(), Hospital()
    guests = people.Synthetic(iter([people.Person("stranger-1")]))
    terminal, server = terminal_at(hospital, clock=clock), Server(wire_to(hospital, clock=clock))

    run(
        terminal,
        server,
        guests,
        every=300,
        sdk_version="simulated",
        say=print,
        report=print,
        sleep=clock.sleep,
        clock=clock,
    )

    beats = hospital.bodies("heartbeat/")
    assert 10 <= len(beats) <= 12
    assert beats[0]["camera"] == "ready"
    assert beats[0]["clock"] == pytest.approx(time.time(), abs=60)


def test_a_suspended_terminal_says_why():
    told = []
    hospital = Hospital()
    now = datetime.now(UTC).isoformat()
    answer = {"server_time": now, "clock_offset": 0, "notice_version": None}
    hospital.weather = [said(200, **answer, suspension={"reason": "维修"})]
    guests = people.Synthetic(iter([]))

    run(
        terminal_at(hospital),
        Server(wire_to(hospital)),
        guests,
        every=1,
        sdk_version="simulated",
        say=told.append,
        report=print,
    )

    assert told == ["本终端已停用：维修"]


def test_a_lobby_is_mostly_strangers_and_somebody_of_every_kind():
    crowd = list(itertools.islice(people.passers_by(random.Random(7)), 500))

    new = {person.id for person in crowd if person.id.startswith("stranger-") and person.agrees}
    assert crowd[0].id in new
    assert 300 < len(new) < 400
    assert {"decliner", "minor"} <= {person.id for person in crowd}
    assert any(not person.agrees for person in crowd)
    assert len({person.id for person in crowd}) < len(crowd)


# Activation and the command line


def connect_to(hospital):
    return lambda auth: wire_to(hospital, auth=auth)


def activated(state, hospital, code="AAAA-BBBB-CCCC"):
    return activation.activate(
        state,
        code,
        connect=connect_to(hospital),
        algorithm="ecdsa-p256-sha256",
        sdk_version="simulated",
    )


def test_activation_registers_a_key_that_stays_here(tmp_path):
    hospital, state = Hospital(), tmp_path / "state"

    identity = activated(state, hospital)

    [body] = hospital.bodies("terminals/activation/")
    assert body["code"] == "AAAA-BBBB-CCCC"
    assert load_pem_public_key(body["public_key"].encode()) == identity.key.public_key()
    assert len(hospital.signatures) == 1
    assert identity.key_id == key_id_of(identity.key.public_key())
    assert (identity.serial, identity.store) == ("T-01", "门诊楼")
    assert {path.name for path in state.iterdir()} == {"terminal.json", f"{identity.key_id}.pem"}
    for path in state.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_the_state_directory_remembers_the_terminal(tmp_path):
    identity = activated(tmp_path, Hospital())

    again = activation.recall(tmp_path)

    assert again.key_id == identity.key_id
    assert keys.to_pem(again.key) == keys.to_pem(identity.key)


def test_activating_again_replaces_the_key(tmp_path):
    first = activated(tmp_path, Hospital())

    second = activated(tmp_path, Hospital())

    assert second.key_id != first.key_id
    assert [path.stem for path in tmp_path.glob("*.pem")] == [second.key_id]


def test_a_refused_code_changes_nothing(tmp_path):
    first = activated(tmp_path, Hospital())
    hospital = Hospital()
    hospital.weather = [problem(409, "activation_code_invalid")]

    with pytest.raises(Problem):
        activated(tmp_path, hospital)

    assert activation.recall(tmp_path).key_id == first.key_id


def test_an_empty_directory_is_no_terminal(tmp_path, capsys):
    with pytest.raises(activation.NotActivated):
        activation.recall(tmp_path)

    status = program.main(["--server", "http://127.0.0.1:1", "--state", str(tmp_path), "--once"])

    assert status == 2
    assert "尚未激活" in capsys.readouterr().err


def network(hospital, room):
    """Both hosts of the command line below, in one transport."""
    handlers = {"hospital": hospital, "room": room}
    return httpx.MockTransport(lambda request: handlers[request.url.host](request))


def command_line(state, *more):
    return [
        "--server",
        "http://hospital",
        "--state",
        str(state),
        "--sdk",
        "simulated:http://room",
        "--once",
        *more,
    ]


def test_once_onboards_a_stranger_and_says_so(tmp_path, capsys):
    room = Room()
    there = network(Hospital(), room)

    status = program.main(
        command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--json"), transport=there
    )

    shown = capsys.readouterr()
    line = json.loads(shown.out)
    assert status == 0
    assert (line["state"], line["patient"]) == ("onboarded", "P0000001")
    assert isinstance(line["seconds"], float)
    assert "建档完成：张*，编号 P0000001" in shown.err
    assert room.posted[0]["person"].startswith("stranger-")
    assert not any(secret in shown.out + shown.err for secret in SECRETS)


def test_once_without_a_patient_is_a_failure_with_a_reason(tmp_path, capsys):
    there = network(Hospital(ends="guardian_required"), Room())

    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--person", "minor")
    status = program.main(arguments, transport=there)

    assert status == 1
    assert "guardian_required" in capsys.readouterr().err


def test_recognising_once_says_who_it_is(tmp_path, capsys):
    there = network(Hospital(ends="recognised"), Room())

    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--recognise")
    status = program.main(arguments, transport=there)

    shown = capsys.readouterr().out
    assert status == 0
    assert "已识别：张*，编号 P0000001" in shown
    assert not any(secret in shown for secret in SECRETS)


def test_who_is_not_on_record_is_told_how_to_be(tmp_path, capsys):
    there = network(Hospital(ends="unrecognised"), Room())

    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--recognise")
    status = program.main(arguments, transport=there)

    shown = capsys.readouterr()
    assert status == 1
    assert "没有找到档案，可以刷脸建档" in shown.out
    assert "未识别：unrecognised" in shown.err


def test_a_used_code_on_the_same_command_line_is_no_obstacle(tmp_path, capsys):
    hospital = Hospital()
    there = network(hospital, Room())
    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC")
    program.main(arguments, transport=there)
    hospital.weather = [problem(409, "activation_code_invalid")]

    status = program.main(arguments, transport=there)

    assert status == 0
    assert "沿用已有的激活" in capsys.readouterr().out


def test_a_used_code_without_a_terminal_is_an_obstacle(tmp_path, capsys):
    hospital = Hospital()
    hospital.weather = [problem(409, "activation_code_invalid")]
    there = network(hospital, Room())

    status = program.main(command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC"), transport=there)

    assert status == 2
    assert "activation_code_invalid" in capsys.readouterr().err
