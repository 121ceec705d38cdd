"""The camera and WeChat's screen: who was seen, and what they said to sharing their name."""

import base64
import hmac
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from faceauth.simulator import authinfo, people
from faceauth.simulator.people import Person
from faceauth.simulator.world import World

LIFETIME = 600  # seconds a face_sid is good for; nobody publishes the real figure

NO_AUTHINFO = 271378433  # 设备认证信息不能为空
EXPIRED = 271382020  # 授权请求信息不存在或者已过期


class Consent(Enum):
    """What the person answered on WeChat's screen."""

    PENDING = "pending"
    GIVEN = "given"
    REFUSED = "refused"
    NOT_ASKED = "not asked"


@dataclass(slots=True)
class Sighting:
    """A person in front of the camera, under one face_sid."""

    person: Person
    seen_at: float
    consent: Consent = Consent.PENDING


class Camera:
    """What a terminal's SDK would do, for any number of terminals and threads."""

    def __init__(self, world: World, clock: Callable[[], float]) -> None:
        self._world = world
        self._clock = clock
        self._lock = threading.Lock()
        self._sightings: dict[str, Sighting] = {}

    def scan(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer getWxpayfaceCode(FACE_AUTH) for `person`, under an authinfo and its terms."""
        license_error = {"return_code": "PARAM_ERROR", "return_msg": "AuthInfo License Error"}
        given = asked.get("authinfo")
        if not given:
            return {**license_error, "err_code": NO_AUTHINFO}
        try:
            terms = authinfo.terms(str(given), self._world, now=self._clock())
        except authinfo.InvalidLicense as exc:
            return {**license_error, **({"err_code": EXPIRED} if exc.expired else {})}
        if any(asked.get(name, term) != term for name, term in terms.items()):
            return license_error
        person = people.find(str(asked.get("person", "")))
        if person is None:
            return {"return_code": "FACE_UNKNOWN", "return_msg": "未识别到用户"}
        answer = {
            "return_code": "SUCCESS",
            "return_msg": "SUCCESS",
            "face_sid": self.see(person),
            "openid": openid(person, terms["appid"]),
        }
        if terms["sub_appid"]:
            answer["sub_openid"] = openid(person, terms["sub_appid"])
        return answer

    def authorize(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer getWxpayAuth: the person is asked, or with quit_face_auth "1" let go."""
        quit_face_auth = asked.get("quit_face_auth", "0")
        with self._lock:
            sighting = self._current(str(asked.get("face_sid", "")))
            if sighting is None or quit_face_auth not in ("0", "1"):
                return {"return_code": "PARAM_ERROR", "return_msg": "参数错误"}
            if sighting.consent is not Consent.PENDING:
                return {"return_code": "ERROR", "return_msg": "授权失败"}
            if quit_face_auth == "1":
                sighting.consent = Consent.NOT_ASKED
            elif sighting.person.declines:
                sighting.consent = Consent.REFUSED
                return {"return_code": "USER_CANCEL", "return_msg": "用户取消授权"}
            else:
                sighting.consent = Consent.GIVEN
        return {"return_code": "SUCCESS", "return_msg": "success"}

    def see(self, person: Person, *, consent: Consent = Consent.PENDING) -> str:
        """Put `person` in front of the camera and return their face_sid."""
        face_sid, now = str(uuid.uuid4()), self._clock()
        with self._lock:
            self._sightings = {
                sid: sighting
                for sid, sighting in self._sightings.items()
                if now - sighting.seen_at <= LIFETIME
            }
            self._sightings[face_sid] = Sighting(person, now, consent)
        return face_sid

    def find(self, face_sid: str) -> Sighting | None:
        """Return who was seen under `face_sid`, unless that was too long ago."""
        with self._lock:
            return self._current(face_sid)

    def _current(self, face_sid: str) -> Sighting | None:
        sighting = self._sightings.get(face_sid)
        if sighting is None or self._clock() - sighting.seen_at > LIFETIME:
            return None
        return sighting


def openid(person: Person, appid: str) -> str:
    """Return the one openid of a person under an appid; one face has one, whatever its papers."""
    digest = hmac.digest(b"simulated openid", f"{appid}|{person.id}".encode(), "sha256")
    return f"o{base64.urlsafe_b64encode(digest)[:27].decode()}"
