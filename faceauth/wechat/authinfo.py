"""rawdata → authinfo, as steps: the one v2 call."""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from faceauth.wechat import v2
from faceauth.wechat.errors import Untrusted, WeChatError
from faceauth.wechat.exchange import compose
from faceauth.wechat.hosts import Hosts
from faceauth.wechat.parties import Device, Party
from faceauth.wechat.steps import Steps

KEY_LENGTH = 32  # characters of an APIv2 key
LONGEST = 4096  # characters of an authinfo

_SECONDS = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Authinfo:
    """A credential to start the face SDK with, good for `expires_in` seconds on one terminal."""

    authinfo: str = field(repr=False)
    expires_in: int
    appid: str
    mch_id: str
    sub_appid: str
    sub_mch_id: str


class AuthinfoCall:
    """
    What is sent for an authinfo, and what is made of the answer.

    :raises ValueError: the key is not of 32 characters
    """

    def __init__(
        self,
        party: Party,
        key: str,
        *,
        sign_type: v2.SignType,
        hosts: Hosts,
        clock: Callable[[], float],
    ) -> None:
        if len(key) != KEY_LENGTH:
            raise ValueError("key")
        self._party = party
        self._key = key
        self._sign_type = sign_type
        self._hosts = hosts
        self._clock = clock

    def fetch(self, device: Device, *, rawdata: str) -> Steps[Authinfo]:
        """
        Ask for an authinfo for `device`, whose SDK gave `rawdata` (base64).

        https://pay.weixin.qq.com/wiki/doc/wxfacepay/develop/android/faceuser.html

        :raises ValueError: a field breaks WeChat's limits; names the field alone
        :raises Unavailable, Rejected, Untrusted:
        """
        party = self._party
        content = v2.build(
            {
                "store_id": device.store_id,
                "store_name": device.store_name,
                "device_id": device.device_id,
                "rawdata": rawdata,
                "appid": party.appid,
                "mch_id": party.mch_id,
                "sub_appid": party.sub_appid,
                "sub_mch_id": party.sub_mch_id,
                "now": int(self._clock()),
                "version": "1",
                "nonce_str": secrets.token_hex(16),
            },
            self._key,
            self._sign_type,
        )

        def request_to(url: str) -> httpx.Request:
            kind = {"Content-Type": "application/xml; charset=utf-8"}
            return compose("POST", url, accept="application/xml", headers=kind, content=content)

        reply = yield from self._hosts.ask("/face/get_wxpayface_authinfo", request_to)
        try:
            return self._ours(v2.parse(reply.body, self._key))
        except WeChatError as exc:
            raise exc.about(status=reply.status, request_id=reply.request_id)  # noqa: B904

    def _ours(self, answer: dict[str, str]) -> Authinfo:
        party = self._party
        if (answer.get("appid"), answer.get("mch_id")) != (party.appid, party.mch_id):
            raise Untrusted("not_ours")
        for name, ours in (("sub_appid", party.sub_appid), ("sub_mch_id", party.sub_mch_id)):
            if answer.get(name, ours) not in (ours, ""):
                raise Untrusted("not_ours")
        authinfo, expires_in = answer.get("authinfo", ""), answer.get("expires_in", "")
        if not 0 < len(authinfo) <= LONGEST or not _SECONDS.fullmatch(expires_in):
            raise Untrusted("malformed")
        return Authinfo(
            authinfo, int(expires_in), party.appid, party.mch_id, party.sub_appid, party.sub_mch_id
        )
