"""
Which version of WeChat's SDK takes what.

Source: 微信刷脸 Windows SDK, 实名认证文档 and 人脸识别文档 (both of 2022-11-14), 支持版本.
"""

import re
from collections.abc import Set as AbstractSet

from devices.sdk.errors import TooOld

_VERSION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){1,4}", re.ASCII)

COMMANDS = {
    "initWxpayface": "1.12",
    "getWxpayfaceRawdata": "1.12",
    "getWxpayfaceCode": "1.12",
    "getWxpayAuth": "1.16",
    "getWxpayfaceUserInfo": "1.24",
    "releaseWxpayface": "1.12",
}
PARAMETERS = {
    "token": "1.16",
    "proxy_type": "1.18",
    "camera_rotation": "1.18",
    "screen_index": "1.18",
    "quit_face_auth": "1.20",
    "disable_keyboard": "1.23",
    "openid": "1.24",
    "use_window_nofocus": "1.26",
}


def number(version: str) -> tuple[int, ...]:
    """
    Return a version as it compares: 1.9 is older than 1.12.

    :raises ValueError: not numbers with dots in between
    """
    if not _VERSION.fullmatch(version):
        raise ValueError("version")
    return tuple(int(part) for part in version.split("."))


def check(version: str, cmd: str, parameters: AbstractSet[str] = frozenset()) -> None:
    """
    Pass a call that an SDK of `version` takes.

    :param version: "" if nobody knows: then the SDK itself is the judge
    :raises TooOld: before anything is called
    """
    if not version:
        return
    needed = [COMMANDS[cmd], *(PARAMETERS[name] for name in parameters & PARAMETERS.keys())]
    newest = max(needed, key=number)
    if number(version) < number(newest):
        raise TooOld(newest)
