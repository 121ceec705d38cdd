"""
The clients: each call is steps, taken here under threads or under asyncio.

Make one of each and keep it: connections, keys and what is known of WeChat's health live in it.
A call ends within its budget, repeated attempts and all.
"""

import time
from collections.abc import Callable

import httpx

from faceauth.wechat import v2, v3
from faceauth.wechat.authinfo import Authinfo, AuthinfoCall
from faceauth.wechat.hosts import Hosts
from faceauth.wechat.identity import Answer, Credential, IdentityCalls
from faceauth.wechat.keys import Decryptor
from faceauth.wechat.parties import Device, Party
from faceauth.wechat.permitting import Permit, anywhere
from faceauth.wechat.repeating import Watch, abegin, begin, unwatched
from faceauth.wechat.verifying import Verifier

PAYAPP = "https://payapp.weixin.qq.com"
API = "https://api.mch.weixin.qq.com"

AUTHINFO_BUDGET = 7.0  # seconds; somebody stands before the terminal
IDENTITY_BUDGET = 20.0  # seconds; well within what a worker may hold a session (`leases.LONGEST`)

Transport = httpx.BaseTransport | httpx.AsyncBaseTransport


class _Authinfo:
    def __init__(
        self,
        party: Party,
        key: str,
        *,
        sign_type: v2.SignType = "HMAC-SHA256",
        base_url: str = PAYAPP,
        transport: Transport | None = None,
        permit: Permit = anywhere,
        watch: Watch = unwatched,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hosts = Hosts(base_url, transport=transport, permit=permit)
        self._watch = watch
        self._call = AuthinfoCall(party, key, sign_type=sign_type, hosts=self._hosts, clock=clock)


class AuthinfoClient(_Authinfo):
    """
    Turns a terminal's rawdata into an authinfo; threads may share one.

    `key` is the APIv2 key, the 服务商's in partner mode; `clock` gives Unix seconds. `permit` is
    asked before anything goes to a host, and `watch` told of every attempt.

    :raises ValueError: the key is not of 32 characters
    """

    def fetch(self, device: Device, *, rawdata: str) -> Authinfo:
        """
        Ask for an authinfo for `device`, whose SDK gave `rawdata` (base64).

        :raises ValueError: a field breaks WeChat's limits; names the field alone
        :raises Unavailable, Rejected, Untrusted:
        """
        return begin(
            lambda: self._call.fetch(device, rawdata=rawdata),
            budget=AUTHINFO_BUDGET,
            watch=self._watch,
        )

    def close(self) -> None:
        """Let the connections go."""
        self._hosts.channel.close()


class AsyncAuthinfoClient(_Authinfo):
    """An AuthinfoClient for the tasks of one event loop."""

    async def fetch(self, device: Device, *, rawdata: str) -> Authinfo:
        """
        Do as AuthinfoClient.fetch does.

        :raises ValueError, Unavailable, Rejected, Untrusted:
        """
        return await abegin(
            lambda: self._call.fetch(device, rawdata=rawdata),
            budget=AUTHINFO_BUDGET,
            watch=self._watch,
        )

    async def aclose(self) -> None:
        """Let the connections go."""
        await self._hosts.channel.aclose()


class _Identity:
    def __init__(
        self,
        party: Party,
        *,
        credential: Credential,
        decryptor: Decryptor,
        verifier: Verifier,
        sub_serial_no: str = "",
        base_url: str = API,
        fallback_url: str = "",
        transport: Transport | None = None,
        permit: Permit = anywhere,
        watch: Watch = unwatched,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._hosts = Hosts(base_url, fallback_url, transport=transport, permit=permit)
        self._watch = watch
        self._signer = credential.signer
        self._decryptor = decryptor
        self._calls = IdentityCalls(
            party,
            credential=credential,
            verifier=verifier,
            sub_serial_no=sub_serial_no,
            hosts=self._hosts,
            clock=clock,
        )

    def open(self, body: bytes) -> v3.Identity:
        """
        Return who the body of an `ask()` speaks of.

        :raises Untrusted: the body is not the answer it should be
        :raises Undecryptable: it is not for our key
        """
        return v3.identity(body, self._decryptor)

    def open_union(self, body: bytes) -> v3.Membership:
        """
        Return how the body of an `ask_union()` calls somebody; nothing in it is encrypted.

        :raises Untrusted: the body is not the answer it should be
        """
        return v3.membership(body)


class IdentityClient(_Identity):
    """
    Asks WeChat who looked at the camera; threads may share one.

    `credential` is the 服务商's in partner mode, and `sub_serial_no` then the serial of the
    hospital's own API certificate, whose key is in `decryptor`. `fallback_url` is asked when
    the network to the first host fails. `clock` gives Unix seconds. `permit` is asked before
    anything goes to a host, and `watch` told of every attempt.

    :raises ValueError: partner mode without a sub_serial_no
    """

    def ask(self, face_sid: str) -> Answer:
        """
        Ask for the name behind a `face_sid`; return the verified answer, for `open()`.

        :raises ValueError: a face_sid has another shape; nothing was signed or sent
        :raises Unavailable, Rejected, Untrusted:
        """
        return begin(
            lambda: self._calls.ask(face_sid, info_type="ASK_REAL_NAME"),
            budget=IDENTITY_BUDGET,
            watch=self._watch,
        )

    def ask_union(self, token: str) -> Answer:
        """
        Ask for the union id behind a `token` of getWxpayfaceUserInfo, for `open_union()`.

        :raises ValueError: a token has another shape; nothing was signed or sent
        :raises Unavailable, Rejected, Untrusted:
        """
        return begin(
            lambda: self._calls.ask(token, info_type="ASK_UNIONID"),
            budget=IDENTITY_BUDGET,
            watch=self._watch,
        )

    def close(self) -> None:
        """Let the connections go."""
        self._hosts.channel.close()
        self._signer.close()


class AsyncIdentityClient(_Identity):
    """An IdentityClient for the tasks of one event loop."""

    async def ask(self, face_sid: str) -> Answer:
        """
        Do as IdentityClient.ask does.

        :raises ValueError, Unavailable, Rejected, Untrusted:
        """
        return await abegin(
            lambda: self._calls.ask(face_sid, info_type="ASK_REAL_NAME"),
            budget=IDENTITY_BUDGET,
            watch=self._watch,
        )

    async def ask_union(self, token: str) -> Answer:
        """
        Do as IdentityClient.ask_union does.

        :raises ValueError, Unavailable, Rejected, Untrusted:
        """
        return await abegin(
            lambda: self._calls.ask(token, info_type="ASK_UNIONID"),
            budget=IDENTITY_BUDGET,
            watch=self._watch,
        )

    async def aclose(self) -> None:
        """Let the connections go."""
        await self._hosts.channel.aclose()
        await self._signer.aclose()
