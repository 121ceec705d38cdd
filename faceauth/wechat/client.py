"""The two calls to WeChat. Everything else in this package is bytes."""

import re
import secrets
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import httpx

from faceauth.wechat import v2, v3
from faceauth.wechat.errors import Rejected, Unavailable, Untrusted, WeChatError
from faceauth.wechat.exchange import Reply, connect, exchange
from faceauth.wechat.keys import Decryptor, Signer, WeChatKeys

CERTIFICATE_INTERVAL = 60.0  # seconds between two fetches of the platform certificates

_SECONDS = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Party:
    """Who we are to WeChat. With `sub_*` set, 服务商 mode: the first two are the 服务商's."""

    appid: str
    mch_id: str
    sub_appid: str = ""
    sub_mch_id: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """The terminal an authinfo is for, in the merchant's own words."""

    store_id: str
    store_name: str
    device_id: str


@dataclass(frozen=True, slots=True)
class Authinfo:
    """A credential to start the face SDK with, good for `expires_in` seconds on one terminal."""

    authinfo: str = field(repr=False)
    expires_in: int
    appid: str
    mch_id: str
    sub_appid: str
    sub_mch_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """WeChat's answer, verified and not yet opened; `body` is ciphertext and openids."""

    body: bytes = field(repr=False)
    request_id: str


class AuthinfoClient:
    """
    Turns a terminal's rawdata into an authinfo. Make one and keep it; threads may share it.

    `key` is the APIv2 key, the 服务商's in partner mode; `clock` gives Unix seconds.

    :raises ValueError: the key is not of 32 characters
    """

    def __init__(
        self,
        party: Party,
        key: str,
        *,
        sign_type: v2.SignType = "HMAC-SHA256",
        base_url: str = "https://payapp.weixin.qq.com",
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if len(key) != 32:  # noqa: PLR2004
            raise ValueError("key")
        self._party = party
        self._key = key
        self._sign_type = sign_type
        self._clock = clock
        self._http = connect(base_url, accept="application/xml", transport=transport)

    def fetch(self, device: Device, *, rawdata: str) -> Authinfo:
        """
        Ask for an authinfo for `device`, whose SDK gave `rawdata` (base64).

        https://pay.weixin.qq.com/wiki/doc/wxfacepay/develop/android/faceuser.html

        :raises ValueError: a field breaks WeChat's limits; names the field alone
        :raises Unavailable, Rejected, Untrusted:
        """
        fields = {
            "store_id": device.store_id,
            "store_name": device.store_name,
            "device_id": device.device_id,
            "rawdata": rawdata,
            "appid": self._party.appid,
            "mch_id": self._party.mch_id,
            "sub_appid": self._party.sub_appid,
            "sub_mch_id": self._party.sub_mch_id,
            "now": int(self._clock()),
            "version": "1",
            "nonce_str": secrets.token_hex(16),
        }
        request = self._http.build_request(
            "POST",
            "/face/get_wxpayface_authinfo",
            content=v2.build(fields, self._key, self._sign_type),
            headers={"Content-Type": "application/xml; charset=utf-8"},
        )
        return self._ours(v2.parse(exchange(self._http, request).body, self._key))

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def _ours(self, answer: dict[str, str]) -> Authinfo:
        party = self._party
        if (answer.get("appid"), answer.get("mch_id")) != (party.appid, party.mch_id):
            raise Untrusted("not_ours")
        for name, ours in (("sub_appid", party.sub_appid), ("sub_mch_id", party.sub_mch_id)):
            if answer.get(name, ours) not in (ours, ""):
                raise Untrusted("not_ours")
        authinfo, expires_in = answer.get("authinfo", ""), answer.get("expires_in", "")
        if not 0 < len(authinfo) <= 4096 or not _SECONDS.fullmatch(expires_in):  # noqa: PLR2004
            raise Untrusted("malformed")
        return Authinfo(
            authinfo, int(expires_in), party.appid, party.mch_id, party.sub_appid, party.sub_mch_id
        )


class IdentityClient:
    """
    Asks WeChat who looked at the camera. Make one and keep it; threads may share it.

    `signer` is the 服务商's in partner mode, and `sub_serial_no` then the serial of the
    hospital's own API certificate, whose key is in `decryptor`. `fallback_url` is asked when
    the first host cannot be reached at all. `clock` gives Unix seconds.

    :raises ValueError: partner mode without a sub_serial_no
    """

    def __init__(
        self,
        party: Party,
        *,
        signer: Signer,
        decryptor: Decryptor,
        keys: WeChatKeys,
        sub_serial_no: str = "",
        base_url: str = "https://api.mch.weixin.qq.com",
        fallback_url: str = "",
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if party.sub_mch_id and not sub_serial_no:
            raise ValueError("sub_serial_no")
        self._query = {
            "info_type": "ASK_REAL_NAME",
            "appid": party.appid,
            **({"sub_mchid": party.sub_mch_id} if party.sub_mch_id else {}),
            **({"sub_appid": party.sub_appid} if party.sub_appid else {}),
            **({"sub_serial_no": sub_serial_no} if sub_serial_no else {}),
        }
        self._decryptor = decryptor
        self._keys = keys
        self._clock = clock
        self._hosts = [
            connect(
                url,
                accept="application/json",
                auth=SignedRequest(signer, clock=clock),
                transport=transport,
            )
            for url in (base_url, fallback_url)
            if url
        ]
        if keys.public_key_id:
            # Asks for answers signed with that key; without it they come signed by a certificate.
            for http in self._hosts:
                http.headers["Wechatpay-Serial"] = keys.public_key_id
        self._fetching = threading.Lock()
        self._fetched_at = float("-inf")

    def ask(self, face_sid: str) -> Answer:
        """
        Ask who `face_sid` is and return the verified answer, unopened, for `open()`.

        https://pay.weixin.qq.com/wiki/doc/wxfacepay/develop/android/sid.html

        :raises ValueError: a face_sid has another shape; nothing was signed or sent
        :raises Unavailable, Rejected, Untrusted:
        """
        if not v3.FACE_SID.fullmatch(face_sid):
            raise ValueError("face_sid")
        reply = self._get(f"/v3/facemch/users/{face_sid}", params=self._query)
        try:
            self._verify(reply)
        except Untrusted as exc:
            if exc.fact != "unknown_serial":
                raise
            # The answer in hand is verified again, not asked for again: it may be the only one.
            self._fetch_certificates()
            self._verify(reply)
        return Answer(reply.body, reply.request_id)

    def open(self, body: bytes) -> v3.Identity:
        """
        Return who the body of an `ask()` speaks of.

        :raises Untrusted: the body is not the answer it should be
        :raises Undecryptable: it is not for our key
        """
        return v3.identity(body, self._decryptor)

    def close(self) -> None:
        """Let the connections go."""
        for http in self._hosts:
            http.close()

    def _get(self, path: str, *, params: dict[str, str] | None = None) -> Reply:
        """
        Ask the first host, and the next one only if the network never let the request arrive.

        After a timeout it may have arrived, and a face_sid may work only once.

        :raises Unavailable, Rejected, Untrusted:
        """
        *others, last = self._hosts
        for http in others:
            try:
                return exchange(http, http.build_request("GET", path, params=params))
            except Unavailable as exc:
                if exc.fact != "unreachable":
                    raise
        return exchange(last, last.build_request("GET", path, params=params))

    def _verify(self, reply: Reply) -> None:
        v3.verify(reply.headers, reply.body, self._keys, now=self._clock())

    def _fetch_certificates(self) -> None:
        """Learn the certificates of the day, unless that was tried within the minute."""
        with self._fetching:
            now = self._clock()
            if now - self._fetched_at < CERTIFICATE_INTERVAL or not self._keys.apiv3_key:
                return
            self._fetched_at = now
            try:
                reply = self._get("/v3/certificates")
                v3.learn(self._keys, reply.headers, reply.body, now=self._clock())
            except Rejected:
                return  # a merchant with a public key has no certificates to fetch: 404, or 403
            except WeChatError:
                if not self._keys.public_key_id:
                    raise


class SignedRequest(httpx.Auth):
    """Signs each request as it is about to be sent."""

    requires_request_body = True

    def __init__(self, signer: Signer, *, clock: Callable[[], float]) -> None:
        self._signer = signer
        self._clock = clock

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the Authorization header: path and query are signed exactly as they will go out."""
        request.headers["Authorization"] = v3.authorization(
            self._signer,
            method=request.method,
            target=request.url.raw_path.decode("ascii"),
            timestamp=int(self._clock()),
            nonce=secrets.token_hex(16),
            body=request.content,
        )
        yield request
