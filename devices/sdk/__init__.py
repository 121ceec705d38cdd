"""
WeChat's face SDK, kindly: six commands, values in, values or facts out.

Source: 微信刷脸 Windows SDK, 实名认证文档 and 人脸识别文档 (both of 2022-11-14).
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from devices.sdk import errors, versions

VERSION = "1"  # of the call's form, not of the SDK
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
class Proxy:
    """
    The hospital's own way out, for WeChat's service to use.

    :ivar type: 0 none, 1 HttpTunnel, 2 Socks5, 3 Http; not sent if None (before version 1.18)
    """

    ip: str
    port: str
    user: str = ""
    passwd: str = field(default="", repr=False)
    type: int | None = None

    def __post_init__(self) -> None:
        if not (self.port.isascii() and self.port.isdigit()):
            raise ValueError("port")
        if self.type not in (None, 0, 1, 2, 3):
            raise ValueError("type")


@dataclass(frozen=True, kw_only=True)
class Window:
    """
    Where and how WeChat's screen opens.

    :ivar screen_index: 1 is the main screen, the others count from 2; None leaves it to the SDK
    :ivar no_focus: it does not take the keyboard's focus (`user_info` alone knows this)
    :ivar no_keyboard: it takes nothing from an external keyboard (`code` alone knows this)
    """

    screen_index: int | None = None
    no_focus: bool = False
    no_keyboard: bool = False

    def __post_init__(self) -> None:
        if self.screen_index is not None and self.screen_index < 1:
            raise ValueError("screen_index")


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
    telephone_used: bool = False


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

    :param version: of the installed SDK, if known: what it cannot do is then not called
    :raises ValueError: that is no version
    """

    def __init__(
        self, library: Library, *, version: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        if version:
            versions.number(version)
        self._library = library
        self._version = version
        self._clock = clock

    def init(self, *, proxy: Proxy | None = None, camera_rotation: int = 0) -> None:
        """
        Start the service's side of the camera.

        :param camera_rotation: 1 is +90°, 2 is 180°, 3 is -90°; ask WeChat Pay before use
        :raises errors.Initialising: ask again in half a second
        :raises errors.SDKError:
        """
        if camera_rotation not in (0, 1, 2, 3):
            raise ValueError("camera_rotation")
        given: dict[str, str | int] = {}
        if proxy:
            given |= {name: getattr(proxy, name) for name in ("ip", "port", "user", "passwd")}
        if proxy and proxy.type is not None:
            given["proxy_type"] = proxy.type
        if camera_rotation:
            given["camera_rotation"] = camera_rotation
        self._ask("initWxpayface", **given)

    def rawdata(self) -> str:
        """
        Return what this device says of itself, base64, for the server to get an authinfo with.

        :raises errors.SDKError:
        """
        rawdata = _text(self._ask("getWxpayfaceRawdata"), "rawdata")
        if not 0 < len(rawdata) <= LONGEST_RAWDATA:
            raise errors.Unreadable
        return rawdata

    def code(
        self,
        params: FaceParams,
        *,
        window: Window = Window(),
        ask_token: bool = False,
        openid: str = "",
        telephone: str = "",
    ) -> Sighting:
        """
        Open WeChat's screen and wait for a face.

        The screen stays open until `authorize`, which must follow whatever happens next; after
        any exception `release` closes it.

        :param ask_token: documented as 是否返回用户实名授权凭证; deployed terminals go without
        :param openid: of somebody recognised just before
        :param telephone: prefilled on WeChat's screen; nothing here ever needs one
        :raises errors.ModeRefused: `face_authtype` is not FACE_AUTH; nothing was called
        :raises errors.Cancelled: the person left
        :raises errors.CredentialExpired: fetch a new authinfo, then call again
        :raises errors.SDKError:
        """
        if params.face_authtype != FACE_AUTH:
            raise errors.ModeRefused
        answer = self._ask(
            "getWxpayfaceCode",
            **asdict(params),
            screen_index=_index(window),
            disable_keyboard=_flag(window.no_keyboard),
            token=_flag(ask_token),
            openid=openid,
            telephone=telephone,
        )
        sighting = Sighting(
            face_sid=_text(answer, "face_sid"),
            openid=_text(answer, "openid"),
            sub_openid=_text(answer, "sub_openid"),
            telephone_used=answer.get("telephone_used") == 1,
        )
        if not (sighting.face_sid or sighting.openid):
            raise errors.Unreadable
        return sighting

    def authorize(self, authinfo: str, face_sid: str, *, quit: bool) -> AuthResult:  # noqa: A002
        """
        Ask the person to hand over their name, or (`quit`) close the screen unasked.

        Any answer the SDK gives is a result, not an exception: the server records it.

        Before version 1.20 the SDK did not wait, so there was nothing to quit.

        :raises errors.TooOld: `quit_face_auth` needs 1.20
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

    def user_info(
        self, params: FaceParams, *, ask_unionid: bool, window: Window = Window()
    ) -> Member:
        """
        Open WeChat's screen, wait for a face and close it again; nothing follows.

        Needs version 1.24 of the SDK.

        :param ask_unionid: ask for a token as well; without one the openid is all there is
        :raises errors.ModeRefused: `face_authtype` is not FACEID-ONCE; nothing was called
        :raises errors.Cancelled: the person left
        :raises errors.CredentialExpired: fetch a new authinfo, then call again
        :raises errors.SDKError:
        """
        if params.face_authtype != FACEID_ONCE:
            raise errors.ModeRefused
        asked = "1" if ask_unionid else "0"  # strings, as in `authorize`
        answer = self._ask(
            "getWxpayfaceUserInfo",
            **asdict(params),
            ask_unionid=asked,
            screen_index=_index(window),
            use_window_nofocus=_flag(window.no_focus),
        )
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

    def _ask(self, cmd: str, **fields: str | int) -> dict[str, Any]:
        answer = self._call(cmd, **fields)
        errors.check(answer)
        return answer

    def _call(self, cmd: str, **fields: str | int) -> dict[str, Any]:
        given = {name: value for name, value in fields.items() if value != ""}
        versions.check(self._version, cmd, set(given))
        now = int(self._clock())  # ten digits
        return self._library.call({"cmd": cmd, "version": VERSION, "now": now, **given})


def _index(window: Window) -> str:
    return "" if window.screen_index is None else str(window.screen_index)


def _flag(value: bool) -> str:
    return "1" if value else ""


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name) or ""
    if not isinstance(value, str):
        raise errors.Unreadable
    return value
