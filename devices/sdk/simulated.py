"""
A camera without a camera: the SDK's commands, answered by the WeChat simulator over HTTP.

As strict as the real one: `init` first, strings where strings are due, and a screen that
stays open after a face was seen until `getWxpayAuth` closes it.
"""

import base64
import secrets
from collections.abc import Callable
from typing import Any

import httpx

from devices.sdk import errors

RAWDATA_BYTES = 616  # 824 characters of base64, about the length of a real one
TERMS = ("appid", "mch_id", "sub_appid", "sub_mch_id", "store_id")
NOT_INITIALISED = {"return_code": "FAIL", "return_msg": "", "err_code": "271378620"}
PARAM_ERROR = {"return_code": "PARAM_ERROR", "return_msg": ""}
OCCUPIED = {"return_code": "ERROR", "return_msg": ""}
SUCCESS = {"return_code": "SUCCESS", "return_msg": "SUCCESS"}


class SimulatedLibrary:
    """
    Stands in for the C library.

    :param url: the simulator's base URL
    :param choose_person: the simulator's id of whoever stands in front of the camera now
    """

    def __init__(
        self,
        url: str,
        choose_person: Callable[[], str],
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = httpx.Client(base_url=url, transport=transport, trust_env=False, timeout=30)
        self._choose_person = choose_person
        self._initialised = False
        self._screen_open = False

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """
        Answer one command as the real library would.

        :raises errors.NotRunning: the simulator is not there
        :raises errors.Unreadable: what answers is not the simulator
        """
        if request.get("version") != "1" or not _has_ten_digits(request.get("now")):
            return PARAM_ERROR
        commands = {
            "initWxpayface": self._init,
            "getWxpayfaceRawdata": self._rawdata,
            "getWxpayfaceCode": self._scan,
            "getWxpayAuth": self._authorize,
            "getWxpayfaceUserInfo": self._user_info,
            "releaseWxpayface": self._leave,
        }
        command = commands.get(request.get("cmd", ""))
        if command is None:
            return PARAM_ERROR
        if not self._initialised and command != self._init:
            return NOT_INITIALISED
        return command(request)

    def _init(self, _request: dict[str, Any]) -> dict[str, Any]:
        self._initialised = True
        return SUCCESS

    def _rawdata(self, _request: dict[str, Any]) -> dict[str, Any]:
        rawdata = base64.b64encode(secrets.token_bytes(RAWDATA_BYTES)).decode()
        return SUCCESS | {"rawdata": rawdata}

    def _scan(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._screen_open:
            return OCCUPIED
        if not _is_complete(request, face_authtype="FACE_AUTH"):
            return PARAM_ERROR
        answer = self._post("/_sim/scan", self._seen(request))
        self._screen_open = answer.get("return_code") == "SUCCESS"
        return answer

    def _authorize(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("quit_face_auth") not in ("0", "1") or not request.get("authinfo"):
            return PARAM_ERROR
        self._screen_open = False
        fields = ("face_sid", "authinfo", "quit_face_auth")
        given = {name: request[name] for name in fields if name in request}
        return self._post("/_sim/authorize", given)

    def _user_info(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._screen_open:
            return OCCUPIED
        ask_unionid = request.get("ask_unionid", "0")
        if not _is_complete(request, face_authtype="FACEID-ONCE") or ask_unionid not in ("0", "1"):
            return PARAM_ERROR
        return self._post("/_sim/userinfo", self._seen(request) | {"ask_unionid": ask_unionid})

    def _seen(self, request: dict[str, Any]) -> dict[str, Any]:
        # The terms go along: the simulator compares them with those the authinfo was made for.
        terms = {name: request[name] for name in TERMS if name in request}
        return {"authinfo": request["authinfo"], "person": self._choose_person(), **terms}

    def _leave(self, _request: dict[str, Any]) -> dict[str, Any]:
        self._initialised = self._screen_open = False
        return SUCCESS

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


def _is_complete(request: dict[str, Any], *, face_authtype: str) -> bool:
    given = [request.get(name) for name in ("authinfo", "appid", "mch_id", "store_id")]
    whole = all(isinstance(value, str) and value for value in given)
    return whole and request.get("face_authtype") == face_authtype


def _has_ten_digits(now: object) -> bool:
    # Compared, not looked up in a range: what is no int would be sought one by one.
    return isinstance(now, int) and 10**9 <= now < 10**10
