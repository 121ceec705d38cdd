"""
A camera without a camera: the SDK's commands, answered by the WeChat simulator over HTTP.

As strict as the real one: `init` first, strings where strings are due, no parameter that is
newer than the SDK, and a screen that stays open after a face was seen until `getWxpayAuth`.
"""

import base64
import hashlib
import secrets
import uuid
from collections.abc import Callable
from typing import Any

import httpx

from devices.sdk import errors, versions

NEWEST = "1.26"
WAITS_SINCE = "1.20"  # before, nothing was open after getWxpayfaceCode
MACHINE_BYTES = 15  # 20 characters of base64
RAWDATA_BYTES = 616  # 824 characters of base64, about the length of a real one
TERMS = ("appid", "mch_id", "sub_appid", "sub_mch_id", "store_id")
LONGEST_TERM = 32  # characters
LONGEST_AUTHINFO = 4096  # characters

SUCCESS = {"return_code": "SUCCESS", "return_msg": "SUCCESS"}
PARAM_ERROR = {"return_code": "PARAM_ERROR", "return_msg": ""}
NOT_INITIALISED = {"return_code": "FAIL", "return_msg": "", "err_code": "271378620"}
INITIALISING = {"return_code": "FAIL", "return_msg": "", "err_code": "271378621"}
NO_AUTHINFO = {"return_code": "ERROR", "return_msg": "", "err_code": "271378433"}
OUTDATED = {
    "return_code": "ERROR",
    "return_msg": "SDK版本过低,请更新SDK",
    "err_code": "271364105",
}
NO_SUCH_MODE = {"return_code": "PARAM_ERROR", "return_msg": "暂不支持此认证模式"}
OCCUPIED = {"return_code": "ERROR", "return_msg": ""}
NOTHING_TO_AUTHORIZE = {"return_code": "ERROR", "return_msg": "授权失败"}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_digits(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit()


def _is_one(value: object) -> bool:
    return value == "1"


def _is_term(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TERM


def _is_choice(*choices: object) -> Callable[[object], bool]:
    # By type too: True is not 1, nor is 1 "1".
    return lambda value: any(type(value) is type(one) and value == one for one in choices)


_COMMON: dict[str, Callable[[object], bool]] = {
    "cmd": _is_text,
    "version": _is_one,
    # Compared, not looked up in a range: what is no int would be sought one by one.
    "now": lambda now: isinstance(now, int) and 10**9 <= now < 10**10,
}
_SCREEN = {
    **dict.fromkeys(TERMS, _is_term),
    "face_authtype": _is_text,
    "authinfo": lambda value: isinstance(value, str) and len(value) <= LONGEST_AUTHINFO,
    "screen_index": _is_digits,
}
PARAMETERS: dict[str, dict[str, Callable[[object], bool]]] = {
    "initWxpayface": {
        "ip": _is_text,
        "port": _is_digits,
        "user": _is_text,
        "passwd": _is_text,
        "proxy_type": _is_choice(0, 1, 2, 3),
        "camera_rotation": _is_choice(1, 2, 3),
    },
    "getWxpayfaceRawdata": {},
    "getWxpayfaceCode": {
        **_SCREEN,
        "openid": _is_text,
        "telephone": _is_digits,
        "disable_keyboard": _is_one,
        "token": _is_one,
    },
    "getWxpayAuth": {
        "authinfo": _is_text,
        "face_sid": _is_text,
        "quit_face_auth": _is_choice("0", "1"),
    },
    "getWxpayfaceUserInfo": {
        **_SCREEN,
        "ask_unionid": _is_choice("0", "1"),
        "use_window_nofocus": _is_one,
    },
    "releaseWxpayface": {},
}
REQUIRED = {
    "getWxpayfaceCode": ("appid", "mch_id", "store_id", "face_authtype"),
    "getWxpayAuth": ("authinfo",),
    "getWxpayfaceUserInfo": ("appid", "mch_id", "store_id", "face_authtype"),
}


class SimulatedLibrary:
    """
    Stands in for the C library.

    :param url: the simulator's base URL
    :param choose_person: the simulator's id of whoever stands in front of the camera now
    :param version: of the SDK that is simulated
    :param starting: how often `init` is too early
    :param machine: what rawdata begins with, 15 bytes; this computer's, unless told otherwise
    """

    def __init__(
        self,
        url: str,
        choose_person: Callable[[], str],
        *,
        version: str = NEWEST,
        starting: int = 0,
        machine: bytes | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=url, transport=transport, trust_env=False, timeout=30)
        self._choose_person = choose_person
        self._version = version
        self._starting = starting
        self._machine = machine or _this_machine()
        self._initialised = False
        self._open_for: dict[str, str] = {}  # what getWxpayAuth has to name, while the screen is

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """
        Answer one command as the real library would.

        :raises errors.NotRunning: the simulator is not there
        :raises errors.Unreadable: what answers is not the simulator
        """
        commands = {
            "initWxpayface": self._init,
            "getWxpayfaceRawdata": self._rawdata,
            "getWxpayfaceCode": self._scan,
            "getWxpayAuth": self._authorize,
            "getWxpayfaceUserInfo": self._user_info,
            "releaseWxpayface": self._leave,
        }
        command = commands.get(str(request.get("cmd", "")))
        if command is None or not _is_well_formed(request):
            return PARAM_ERROR
        try:
            versions.check(self._version, request["cmd"], request.keys())
        except errors.TooOld:
            return OUTDATED
        if not self._initialised and command != self._init:
            return NOT_INITIALISED
        return command(request)

    def _init(self, _request: dict[str, Any]) -> dict[str, Any]:
        if self._starting > 0:
            self._starting -= 1
            return INITIALISING
        self._initialised = True
        return SUCCESS

    def _rawdata(self, _request: dict[str, Any]) -> dict[str, Any]:
        rest = secrets.token_bytes(RAWDATA_BYTES - len(self._machine))
        rawdata = base64.b64encode(self._machine + rest).decode()
        return SUCCESS | {"rawdata": rawdata}

    def _scan(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._open_for:
            return OCCUPIED
        if request["face_authtype"] != "FACE_AUTH":
            return NO_SUCH_MODE
        if not request.get("authinfo"):
            return NO_AUTHINFO
        answer = self._post("/_sim/scan", self._seen(request))
        if answer.get("return_code") == "SUCCESS" and self._waits():
            self._open_for = {"authinfo": request["authinfo"]}
            if answer.get("face_sid"):
                self._open_for["face_sid"] = answer["face_sid"]
        return answer

    def _authorize(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._waits() and not self._open_for:
            return NOTHING_TO_AUTHORIZE
        if any(request.get(name) != value for name, value in self._open_for.items()):
            return PARAM_ERROR
        self._open_for = {}
        fields = ("face_sid", "authinfo", "quit_face_auth")
        given = {name: request[name] for name in fields if name in request}
        return self._post("/_sim/authorize", given)

    def _user_info(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._open_for:
            return OCCUPIED
        if request["face_authtype"] != "FACEID-ONCE":
            return NO_SUCH_MODE
        if not request.get("authinfo"):
            return NO_AUTHINFO
        ask_unionid = request.get("ask_unionid", "0")
        return self._post("/_sim/userinfo", self._seen(request) | {"ask_unionid": ask_unionid})

    def _seen(self, request: dict[str, Any]) -> dict[str, Any]:
        # The terms go along: the simulator compares them with those the authinfo was made for.
        terms = {name: request[name] for name in TERMS if name in request}
        machine = base64.b64encode(self._machine).decode()
        who = {"person": self._choose_person(), "machine": machine}
        return {"authinfo": request["authinfo"], **who, **terms}

    def _leave(self, _request: dict[str, Any]) -> dict[str, Any]:
        self._initialised = False
        self._open_for = {}
        return SUCCESS

    def _waits(self) -> bool:
        return versions.number(self._version) >= versions.number(WAITS_SINCE)

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            response = self._http.post(path, json=body)
        except httpx.TransportError:
            raise errors.NotRunning from None
        if response.is_server_error:
            raise errors.NotRunning
        try:
            answer = response.json()
        except ValueError:
            raise errors.Unreadable from None
        if not isinstance(answer, dict):
            raise errors.Unreadable
        return answer


def _is_well_formed(request: dict[str, Any]) -> bool:
    known = _COMMON | PARAMETERS[request["cmd"]]
    required = {*_COMMON, *REQUIRED.get(request["cmd"], ())}
    return required <= request.keys() and all(
        name in known and known[name](value) for name, value in request.items()
    )


def _this_machine() -> bytes:
    # The same after a restart, as a real one's: its authinfo goes on working.
    return hashlib.sha256(str(uuid.getnode()).encode()).digest()[:MACHINE_BYTES]
