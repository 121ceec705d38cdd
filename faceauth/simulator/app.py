"""The simulator itself: a WSGI application that sends each request where it belongs."""

import hashlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from faceauth.simulator import apiv3, authinfo, backstage, people
from faceauth.simulator.camera import Camera, Consent
from faceauth.simulator.certificates import certificates
from faceauth.simulator.export import export
from faceauth.simulator.journal import Journal
from faceauth.simulator.outage import FAULTS, instead
from faceauth.simulator.scenarios import AUTHINFO, CERTIFICATES, SCENARIOS, USERS
from faceauth.simulator.weather import Spell, Weather
from faceauth.simulator.wire import Reply, Request
from faceauth.simulator.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

COUNTED = 10_000  # face_sids, the latest


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
        self.journal = Journal()
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._face_sids: Counter[str] = Counter()
        self._spoiled: Counter[str] = Counter()

    @classmethod
    def fresh(cls, *, clock: Callable[[], float] = time.time) -> Self:
        """Return a simulator nobody has met, with keys made once per process."""
        return cls(World.fresh(), clock=clock)

    @classmethod
    def load(cls, directory: Path, *, clock: Callable[[], float] = time.time) -> Self:
        """Return the simulator whose keys are in `directory`; the first time, make them."""
        return cls(World.load(directory), clock=clock)

    def export(self, directory: Path, *, base_url: str) -> None:
        """Write merchant.json, partner.json and their PEM files for clients at `base_url`."""
        export(self.world, directory, base_url=base_url)

    def meet(
        self,
        person_id: str,
        *,
        authorized: bool = True,
        device_id: str = "",
        sub_mch_id: str = "",
        is_token: bool = False,
    ) -> str:
        """
        Let someone be seen, and say yes unless told otherwise; return their face_sid, or token.

        With `sub_mch_id` the camera is that hospital's, under the 服务商.

        :raises UnknownPerson: nobody has that id
        """
        person = people.find(person_id)
        if person is None:
            raise UnknownPerson(person_id)
        merchant = self.world.partner if sub_mch_id else self.world.direct
        terms = {"mch_id": merchant.mch_id, "sub_mch_id": sub_mch_id, "device_id": device_id}
        consent = Consent.GIVEN if authorized else Consent.PENDING
        return self.camera.see(person, consent=consent, terms=terms, is_token=is_token)

    def expect(
        self,
        scenario: str,
        *,
        times: int = 1,
        endpoint: str | None = None,
        seconds: float = 3.0,
        device_id: str | None = None,
        value: int | None = None,
        retry_after: str | float | None = None,
    ) -> None:
        """
        Play `scenario` for the next `times` answers, or with 0 until it is cleared.

        Without an `endpoint` ("authinfo", "users" or "certificates") it plays at the first two.
        `device_id` spares all other terminals.

        :raises UnknownScenario: there is no such scenario there
        """
        self.weather.announce(
            scenario,
            times=times,
            endpoint=endpoint,
            seconds=seconds,
            device_id=device_id,
            value=value,
            retry_after=retry_after,
        )

    def clear(self, name: str | None = None) -> None:
        """End the scenario of that name, or every one."""
        self.weather.clear(name)

    def requests(self) -> dict[str, Any]:
        """Return how often each endpoint was called, and for the latest face_sids, by digest."""
        with self._lock:
            calls = {name: self._calls[name] for name in (AUTHINFO, USERS, CERTIFICATES)}
            return {**calls, "face_sids": dict(self._face_sids)}

    def spoiled(self) -> dict[str, int]:
        """Return how many of the answers about each face_sid a scenario spoiled, by digest."""
        with self._lock:
            return dict(self._spoiled)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Serve one WSGI request."""
        return self.reply(Request.read(environ)).send(start_response)

    def reply(self, request: Request) -> Reply:
        """Answer one request; whoever sends the answer sees to its fault, if it has one."""
        begun = time.perf_counter()
        reply = self._answer(request)
        self.journal.note(request, reply, at=self._clock(), seconds=time.perf_counter() - begun)
        return reply

    def _answer(self, request: Request) -> Reply:
        if request.path == "/" or request.path.startswith("/_sim/"):
            return backstage.answer(request, self)
        reply = self._upstream(request)
        request_id = f"08{secrets.token_hex(15).upper()}-{reply.number}"
        return replace(reply, headers={**reply.headers, "Request-ID": request_id})

    def _upstream(self, request: Request) -> Reply:
        match request.method, request.path:
            case "POST", "/face/get_wxpayface_authinfo":
                device_id = (authinfo.read(request) or {}).get("device_id", "")
                self._count(AUTHINFO)
                return self._weathered(request, AUTHINFO, device_id=device_id)
            case "GET", "/v3/certificates":
                self._count(CERTIFICATES)
                return self._weathered(request, CERTIFICATES, device_id="")
            case "GET", path if path.startswith(apiv3.USERS):
                face_sid = path.removeprefix(apiv3.USERS)
                self._count(USERS, face_sid=face_sid)
                sighting = self.camera.find(face_sid)
                device_id = sighting.device_id if sighting else ""
                return self._weathered(request, USERS, device_id=device_id, face_sid=face_sid)
        return backstage.missing()

    def _weathered(
        self, request: Request, endpoint: str, *, device_id: str, face_sid: str = ""
    ) -> Reply:
        spell = self.weather.at(endpoint, device_id=device_id)
        if spell is None:
            return replace(self._proper(request, endpoint, None), device_id=device_id)
        if spell.name == "slow":
            time.sleep(spell.seconds)
        elif face_sid:
            _count_latest(self._spoiled, face_sid, lock=self._lock)
        reply = instead(spell) or self._proper(request, endpoint, spell)
        return replace(
            reply,
            verdict=_told(spell, reply.verdict),
            device_id=device_id,
            fault=spell.name if spell.name in FAULTS else "",
            seconds=spell.seconds,
        )

    def _proper(self, request: Request, endpoint: str, spell: Spell | None) -> Reply:
        now = self._clock()
        if endpoint == AUTHINFO:
            return authinfo.answer(request, self.world, now=now, spell=spell)
        if endpoint == CERTIFICATES:
            return certificates(request, self.world, now=now, spell=spell)
        return apiv3.users(request, self.world, self.camera, now=now, spell=spell)

    def _count(self, endpoint: str, *, face_sid: str | None = None) -> None:
        with self._lock:
            self._calls[endpoint] += 1
        if face_sid is not None:
            _count_latest(self._face_sids, face_sid, lock=self._lock)


def digest(face_sid: str) -> str:
    """Return the name under which calls for `face_sid` are counted."""
    return hashlib.sha256(face_sid.encode()).hexdigest()[:16]


def _count_latest(counts: Counter[str], face_sid: str, *, lock: threading.Lock) -> None:
    with lock:
        counts[digest(face_sid)] += 1
        if len(counts) > COUNTED:
            del counts[next(iter(counts))]


def _told(spell: Spell, verdict: str) -> str:
    """Return the verdict on an answer that a scenario had a hand in."""
    scenario = SCENARIOS[spell.name]
    told = f"场景「{scenario.label}」：{scenario.explains}"
    return told if verdict in ("", "通过") else f"{told}；{verdict}"
