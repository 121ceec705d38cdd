"""A lobby in memory: a hospital's server, the simulator's camera, and time."""

import base64
import hashlib
import json
import time
from datetime import UTC, datetime, timedelta

import httpx
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from http_message_signatures import HTTPMessageVerifier, InvalidSignature, algorithms
from http_message_signatures.resolvers import MappingKeyResolver

from devices.agent import activation, keys, people
from devices.agent.api import Server
from devices.agent.loop import run
from devices.agent.signing import TerminalAuth
from devices.agent.upkeep import Upkeep
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
    """
    The simulator's camera: `scans` are its next answers, then it sees somebody.

    `raises` is what happens when somebody is about to be asked, or let go.
    """

    def __init__(self, *scans, authorization="SUCCESS", raises=None):
        self.scans = list(scans)
        self.authorization = authorization
        self.raises = raises
        self.posted = []

    def __call__(self, request):
        body = json.loads(request.content)
        self.posted.append(body)
        if request.url.path == "/_sim/authorize" and self.raises:
            raise self.raises
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


class Listening:
    """A library that remembers which commands it was given."""

    def __init__(self, library):
        self.library = library
        self.commands = []

    def call(self, request):
        self.commands.append(request["cmd"])
        return self.library.call(request)


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


def terminal_at(hospital, room=None, *, clock=None, said=None, auth=None, camera=None, **options):
    clock = clock or Clock()
    transport = httpx.MockTransport(room or Room())
    library = SimulatedLibrary("http://room", lambda: "stranger-1", transport=transport)
    say = (said if said is not None else []).append
    server = Server(wire_to(hospital, auth=auth, clock=clock))
    camera = camera or FaceSDK(library)
    return Terminal(server, camera, say=say, clock=clock, sleep=clock.sleep, **options)


def camera_in(room, **options):
    """Return an SDK on the simulator's camera in `room`, and what hears its commands."""
    transport = httpx.MockTransport(room)
    library = SimulatedLibrary("http://room", lambda: "stranger-1", transport=transport, **options)
    listening = Listening(library)
    return FaceSDK(listening), listening


def agrees(_notice):
    return True


def refuses(_notice):
    return False


def receive(hospital, guests, *, room=None, clock=None, told=None, every=1, wipe=None, **options):
    clock, told, visits = clock or Clock(), [] if told is None else told, []
    terminal = terminal_at(hospital, room, clock=clock, said=told, **options)
    server = Server(wire_to(hospital, clock=clock))
    upkeep = Upkeep(
        terminal, server, sdk_version="simulated", say=told.append, wipe=wipe, clock=clock
    )
    run(
        terminal,
        guests,
        upkeep,
        every=every,
        say=told.append,
        report=visits.append,
        sleep=clock.sleep,
        clock=clock,
    )
    return visits


def crowd(*ids):
    return people.Synthetic(iter([people.Person(id_) for id_ in ids]))


def beaten(**fields):
    now = datetime.now(UTC).isoformat()
    return said(200, server_time=now, clock_offset=0, notice_version=3, **fields)


def network(hospital, room):
    """Both hosts of the command line below, in one transport."""
    handlers = {"hospital": hospital, "room": room}
    return httpx.MockTransport(lambda request: handlers[request.url.host](request))


def command_line(state, *more):
    return [
        "--server",
        "https://hospital",
        "--state",
        str(state),
        "--sdk",
        "simulated:http://room",
        "--once",
        *more,
    ]


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
