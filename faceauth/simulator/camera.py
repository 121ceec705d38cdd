"""The camera and WeChat's screen: who was seen, and what they said to sharing their name."""

import base64
import hmac
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from faceauth.simulator import licence, people
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
    """
    A person in front of the camera, under one face_sid, and whose camera it was.

    `is_token`: seen by getWxpayfaceUserInfo, which opens a union id and never a name.
    """

    person: Person
    seen_at: float
    consent: Consent
    mch_id: str
    sub_mch_id: str = ""
    device_id: str = ""
    is_token: bool = False


class NotLicensed(Exception):
    """No valid authinfo for these terms; `answer` is what the SDK says."""

    def __init__(self, err_code: int | None = None) -> None:
        super().__init__(err_code)
        self.answer: dict[str, Any] = {
            "return_code": "PARAM_ERROR",
            "return_msg": "AuthInfo License Error",
            **({} if err_code is None else {"err_code": err_code}),
        }


class Camera:
    """What a terminal's SDK would do, for any number of terminals and threads."""

    def __init__(self, world: World, clock: Callable[[], float]) -> None:
        self._world = world
        self._clock = clock
        self._lock = threading.Lock()
        self._sightings: dict[str, Sighting] = {}

    def scan(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer getWxpayfaceCode(FACE_AUTH) for `person`, under an authinfo and its terms."""
        try:
            terms = self._terms(asked)
        except NotLicensed as exc:
            return exc.answer
        person = people.find(str(asked.get("person", "")))
        if person is None:
            return {"return_code": "FACE_UNKNOWN", "return_msg": "未识别到用户"}
        return {
            "return_code": "SUCCESS",
            "return_msg": "SUCCESS",
            "face_sid": self.see(person, terms=terms),
            **_openids(person, terms),
        }

    def recognise(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer getWxpayfaceUserInfo(FACEID-ONCE): who it is, with a token for the union id."""
        ask_union_id = asked.get("ask_unionid", "0")
        if ask_union_id not in ("0", "1"):
            return {"return_code": "PARAM_ERROR", "return_msg": "参数错误"}
        try:
            terms = self._terms(asked)
        except NotLicensed as exc:
            return exc.answer
        person = people.find(str(asked.get("person", "")))
        if person is None:
            return {"return_code": "FACE_UNKNOWN", "return_msg": "未识别到用户"}
        answer = {
            "return_code": "SUCCESS",
            "return_msg": "SUCCESS",
            "nickname": nickname(person),
            **_openids(person, terms),
        }
        if ask_union_id == "1":
            token = self.see(person, consent=Consent.NOT_ASKED, terms=terms, is_token=True)
            answer |= {"token": token, "unionid_code": "SUCCESS", "unionid_msg": "SUCCESS"}
        return answer

    def authorize(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Answer getWxpayAuth: the person is asked, or with quit_face_auth "1" let go."""
        quit_face_auth = asked.get("quit_face_auth", "0")
        with self._lock:
            sighting = self._current(str(asked.get("face_sid", "")))
            if sighting is None or sighting.is_token or quit_face_auth not in ("0", "1"):
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

    def see(
        self,
        person: Person,
        *,
        consent: Consent = Consent.PENDING,
        terms: Mapping[str, str] | None = None,
        is_token: bool = False,
    ) -> str:
        """Put `person` in front of a camera, by default the 普通商户's; return their face_sid."""
        face_sid, now = str(uuid.uuid4()), self._clock()
        terms = terms or {}
        sighting = Sighting(
            person,
            now,
            consent,
            mch_id=terms.get("mch_id", self._world.mch_id),
            sub_mch_id=terms.get("sub_mch_id", ""),
            device_id=terms.get("device_id", ""),
            is_token=is_token,
        )
        with self._lock:
            self._sightings = {
                sid: earlier
                for sid, earlier in self._sightings.items()
                if now - earlier.seen_at <= LIFETIME
            }
            self._sightings[face_sid] = sighting
        return face_sid

    def find(self, face_sid: str) -> Sighting | None:
        """Return who was seen under `face_sid`, unless that was too long ago."""
        with self._lock:
            return self._current(face_sid)

    def _terms(self, asked: Mapping[str, Any]) -> dict[str, str]:
        given = asked.get("authinfo")
        if not given:
            raise NotLicensed(NO_AUTHINFO)
        try:
            terms = licence.terms(str(given), self._world, now=self._clock())
        except licence.InvalidLicense as exc:
            raise NotLicensed(EXPIRED if exc.expired else None) from None
        if any(asked.get(name, term) != term for name, term in terms.items()):
            raise NotLicensed
        return terms

    def _current(self, face_sid: str) -> Sighting | None:
        sighting = self._sightings.get(face_sid)
        if sighting is None or self._clock() - sighting.seen_at > LIFETIME:
            return None
        return sighting


def openid(person: Person, appid: str) -> str:
    """Return the one openid of a person under an appid; one face has one, whatever its papers."""
    return _named(b"simulated openid", f"{appid}|{person.id}")


def union_id(person: Person) -> str:
    """Return the one union id of a person, the same under every appid."""
    return _named(b"simulated union id", person.id)


def nickname(person: Person) -> str:
    """Return what the person calls themselves in WeChat; it tells nothing of their name."""
    return f"微信用户{_named(b'simulated nickname', person.id)[1:6]}"


def _openids(person: Person, terms: Mapping[str, str]) -> dict[str, str]:
    answer = {"openid": openid(person, terms["appid"])}
    if terms["sub_appid"]:
        answer["sub_openid"] = openid(person, terms["sub_appid"])
    return answer


def _named(key: bytes, text: str) -> str:
    digest = hmac.digest(key, text.encode(), "sha256")
    return f"o{base64.urlsafe_b64encode(digest)[:27].decode()}"
