"""
WeChat's face SDK, kindly: six commands, values in, values or facts out.

Source: 微信刷脸 Windows SDK, 实名认证文档 and 人脸识别文档 (both of 2022-11-14).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from devices.sdk import errors

VERSION = "1"
FACE_AUTH = "FACE_AUTH"  # real-name authentication
FACEID_ONCE = "FACEID-ONCE"  # who of our members this is, without their name
LONGEST_RAWDATA = 2048  # characters
LONGEST_MESSAGE = 128  # characters


class Library(Protocol):
    """The C library (`binding`), or a stand-in for it (`simulated`)."""

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """
        Pass one command; block until its answer.

        :raises errors.NotRunning: nobody took the call
        :raises errors.Unreadable: the answer is no JSON object
        """


@dataclass(frozen=True, kw_only=True)
class FaceParams:
    """What starts the camera: the merchant, the store, and the credential for them."""

    appid: str
    mch_id: str
    store_id: str
    authinfo: str = field(repr=False)
    sub_appid: str = ""
    sub_mch_id: str = ""
    face_authtype: str = FACE_AUTH


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """
    Who the camera saw, as ids. `face_sid` opens one query for the person behind it.

    The document says openid is absent when `face_sid` is present; either may be empty.
    """

    face_sid: str = field(default="", repr=False)
    openid: str = field(default="", repr=False)
    sub_openid: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Member:
    """
    Who the camera recognised, as ids. `token` opens one query for their union id.

    The nickname WeChat gives as well stays in the SDK's answer: nobody here reads it.
    """

    openid: str = field(default="", repr=False)
    sub_openid: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class AuthResult:
    """What the person answered on WeChat's own screen, as WeChat put it."""

    return_code: str
    return_msg: str = field(default="", repr=False)


class FaceSDK:
    """
    One camera. `init` before anything; after `code` it waits for exactly one `authorize`,
    after `user_info` for nothing.

    A class because a terminal holds one library, and every command carries the time.
    """

    def __init__(self, library: Library, *, clock: Callable[[], float] = time.time) -> None:
        self._library = library
        self._clock = clock

    def init(self) -> None:
        """
        Start the service's side of the camera.

        :raises errors.Initialising: ask again in half a second
        :raises errors.SDKError:
        """
        self._ask("initWxpayface")

    def rawdata(self) -> str:
        """
        Return what this device says of itself, base64, for the server to get an authinfo with.

        :raises errors.SDKError:
        """
        rawdata = _text(self._ask("getWxpayfaceRawdata"), "rawdata")
        if not 0 < len(rawdata) <= LONGEST_RAWDATA:
            raise errors.Unreadable
        return rawdata

    def code(self, params: FaceParams) -> Sighting:
        """
        Open WeChat's screen and wait for a face.

        The screen stays open until `authorize`, which must follow whatever happens next.

        :raises errors.Cancelled: the person left
        :raises errors.CredentialExpired: fetch a new authinfo, then call again
        :raises errors.SDKError:
        """
        answer = self._ask("getWxpayfaceCode", **asdict(params))
        sighting = Sighting(
            face_sid=_text(answer, "face_sid"),
            openid=_text(answer, "openid"),
            sub_openid=_text(answer, "sub_openid"),
        )
        if not (sighting.face_sid or sighting.openid):
            raise errors.Unreadable
        return sighting

    def authorize(self, authinfo: str, face_sid: str, *, quit: bool) -> AuthResult:  # noqa: A002
        """
        Ask the person to hand over their name, or (`quit`) close the screen unasked.

        Any answer the SDK gives is a result, not an exception: the server records it.

        :raises errors.NotRunning, errors.Unreadable:
        """
        answer = self._call(
            "getWxpayAuth",
            authinfo=authinfo,
            face_sid=face_sid,
            quit_face_auth="1" if quit else "0",  # strings: an int is a parameter error
        )
        message = _text(answer, "return_msg")[:LONGEST_MESSAGE]
        return AuthResult(errors.return_code(answer), message)

    def user_info(self, params: FaceParams, *, ask_unionid: bool) -> Member:
        """
        Open WeChat's screen, wait for a face and close it again; nothing follows.

        Needs `face_authtype` FACEID-ONCE and version 1.24 of the SDK.

        :param ask_unionid: ask for a token as well; without one the openid is all there is
        :raises errors.Cancelled: the person left
        :raises errors.CredentialExpired: fetch a new authinfo, then call again
        :raises errors.SDKError:
        """
        asked = "1" if ask_unionid else "0"  # strings, as in `authorize`
        answer = self._ask("getWxpayfaceUserInfo", **asdict(params), ask_unionid=asked)
        has_token = ask_unionid and answer.get("unionid_code") == errors.SUCCESS
        member = Member(
            openid=_text(answer, "openid"),
            sub_openid=_text(answer, "sub_openid"),
            token=_text(answer, "token") if has_token else "",
        )
        if not (member.openid or member.token):
            raise errors.Unreadable
        return member

    def release(self) -> None:
        """
        Give the camera back to the machine; `init` takes it again.

        :raises errors.SDKError:
        """
        self._ask("releaseWxpayface")

    def _ask(self, cmd: str, **fields: str) -> dict[str, Any]:
        answer = self._call(cmd, **fields)
        errors.check(answer)
        return answer

    def _call(self, cmd: str, **fields: str) -> dict[str, Any]:
        given = {name: value for name, value in fields.items() if value}
        now = int(self._clock())  # ten digits
        return self._library.call({"cmd": cmd, "version": VERSION, "now": now, **given})


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name) or ""
    if not isinstance(value, str):
        raise errors.Unreadable
    return value
