"""The simulator itself: a WSGI application that sends each request where it belongs."""

import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from faceauth.simulator import apiv3, authinfo, people
from faceauth.simulator.camera import Camera, Consent
from faceauth.simulator.weather import AUTHINFO, USERS, UnknownScenario, Weather, instead
from faceauth.simulator.wire import Reply, Request, json_reply
from faceauth.simulator.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class UnknownPerson(LookupError):
    """Nobody in the cast has that id."""


class Simulator:
    """
    A WeChat of our own.

    `fresh()` is one for a test, `load()` one that a restart does not change; `clock` gives Unix
    seconds.
    """

    def __init__(self, world: World, *, clock: Callable[[], float] = time.time) -> None:
        self.world = world
        self.camera = Camera(world, clock)
        self.weather = Weather()
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._face_sids: Counter[str] = Counter()

    @classmethod
    def fresh(cls, *, clock: Callable[[], float] = time.time) -> Self:
        """Return a simulator nobody has met, with keys made once per process."""
        return cls(World.fresh(), clock=clock)

    @classmethod
    def load(cls, directory: Path, *, clock: Callable[[], float] = time.time) -> Self:
        """Return the simulator whose keys are in `directory`; the first time, make them."""
        return cls(World.load(directory), clock=clock)

    def export(self, directory: Path, *, base_url: str) -> None:
        """Write merchant.json and the merchant's PEM files for a client at `base_url`."""
        self.world.export(directory, base_url=base_url)

    def meet(self, person_id: str, *, authorized: bool = True) -> str:
        """
        Let someone be seen, and say yes unless told otherwise; return their face_sid.

        :raises UnknownPerson: nobody has that id
        """
        person = people.find(person_id)
        if person is None:
            raise UnknownPerson(person_id)
        return self.camera.see(person, consent=Consent.GIVEN if authorized else Consent.PENDING)

    def expect(
        self, scenario: str, *, times: int = 1, endpoint: str | None = None, seconds: float = 3.0
    ) -> None:
        """
        Play `scenario` for the next `times` answers, at "authinfo", "users", or either.

        :raises UnknownScenario: there is no such scenario there
        """
        self.weather.announce(scenario, times=times, endpoint=endpoint, seconds=seconds)

    def requests(self) -> dict[str, Any]:
        """Return how often each endpoint was called, and for which face_sid, by its digest."""
        with self._lock:
            calls = {name: self._calls[name] for name in (AUTHINFO, USERS, "certificates")}
            return {**calls, "face_sids": dict(self._face_sids)}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve one WSGI request."""
        return self._answer(Request.read(environ)).send(start_response)

    def _answer(self, request: Request) -> Reply:
        if request.path.startswith("/_sim/"):
            return self._backstage(request)
        request_id = f"08{secrets.token_hex(15).upper()}-0"
        reply = self._upstream(request)
        return replace(reply, headers={**reply.headers, "Request-ID": request_id})

    def _upstream(self, request: Request) -> Reply:
        match request.method, request.path:
            case "POST", "/face/get_wxpayface_authinfo":
                return self._weathered(request, AUTHINFO)
            case "GET", "/v3/certificates":
                self._count("certificates")
                return apiv3.certificates(request, self.world, now=self._clock())
            case "GET", path if path.startswith(apiv3.USERS):
                self._count(USERS, face_sid=path.removeprefix(apiv3.USERS))
                return self._weathered(request, USERS)
        return _refused(404, "RESOURCE_NOT_EXISTS", "请求的资源不存在")

    def _weathered(self, request: Request, endpoint: str) -> Reply:
        if endpoint == AUTHINFO:
            self._count(AUTHINFO)
        spell = self.weather.at(endpoint)
        replaced = instead(spell) if spell else None
        if replaced is not None:
            return replaced
        now = self._clock()
        if endpoint == AUTHINFO:
            return authinfo.answer(request, self.world, now=now, spell=spell)
        return apiv3.users(request, self.world, self.camera, now=now, spell=spell)

    def _backstage(self, request: Request) -> Reply:
        match request.method, request.path:
            case "GET", "/_sim/people":
                return json_reply([_introduced(person) for person in people.CAST.values()])
            case "GET", "/_sim/requests":
                return json_reply(self.requests())
            case "POST", "/_sim/scan" | "/_sim/authorize" | "/_sim/scenario" as path:
                return self._asked(path, _object(request.body))
        return _refused(404, "RESOURCE_NOT_EXISTS", "请求的资源不存在")

    def _asked(self, path: str, asked: dict[str, Any] | None) -> Reply:
        if asked is None:
            return _refused(400, "PARAM_ERROR", "请求体不是JSON对象")
        if path == "/_sim/scan":
            return json_reply(self.camera.scan(asked))
        if path == "/_sim/authorize":
            return json_reply(self.camera.authorize(asked))
        return self._announce(asked)

    def _announce(self, asked: dict[str, Any]) -> Reply:
        try:
            self.expect(
                str(asked.get("name")),
                times=int(asked.get("times", 1)),
                endpoint=asked.get("endpoint"),
                seconds=float(asked.get("seconds", 3.0)),
            )
        except (UnknownScenario, TypeError, ValueError):
            return _refused(400, "PARAM_ERROR", "没有这样的情形")
        return json_reply({"return_code": "SUCCESS"})

    def _count(self, endpoint: str, *, face_sid: str | None = None) -> None:
        with self._lock:
            self._calls[endpoint] += 1
            if face_sid is not None:
                self._face_sids[digest(face_sid)] += 1


def digest(face_sid: str) -> str:
    """Return the name under which calls for `face_sid` are counted."""
    return hashlib.sha256(face_sid.encode()).hexdigest()[:16]


def _introduced(person: people.Person) -> dict[str, Any]:
    return {
        "id": person.id,
        "name": person.name,
        "document_type": person.document_type,
        "declines": person.declines,
        "note": person.note,
    }


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return asked if isinstance(asked, dict) else None


def _refused(status: int, code: str, message: str) -> Reply:
    return json_reply({"code": code, "message": message}, status=status)
