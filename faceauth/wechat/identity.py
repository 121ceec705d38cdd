"""face_sid or token → who it is, as steps: the one v3 call, and the certificates it needs."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

import httpx

from faceauth.wechat import v3
from faceauth.wechat.errors import Rejected, Unavailable, Untrusted, WeChatError, plain_id
from faceauth.wechat.exchange import Reply, compose
from faceauth.wechat.hosts import Hosts
from faceauth.wechat.parties import Party
from faceauth.wechat.signing import Signer
from faceauth.wechat.steps import Pause, Steps
from faceauth.wechat.verifying import Verifier

CERTIFICATE_INTERVAL = 60.0  # seconds between two fetches of the platform certificates
# A new certificate is handed out at least 24 hours before the old one ends.
AHEAD = 48 * 3600.0  # seconds before the last one ends at which the next is asked for
AHEAD_INTERVAL = 3600.0  # seconds between two such fetches
STEP = 0.02  # seconds between two looks at whether somebody else's fetch is over
STEPS = 500  # looks; then whoever fetches is not coming back


@dataclass(frozen=True, slots=True)
class Answer:
    """WeChat's answer, verified and not yet opened; `body` is ciphertext and openids."""

    body: bytes = field(repr=False)
    request_id: str


class Credential:
    """Who asks: the merchant's number, and what signs in its name."""

    def __init__(self, mch_id: str, signer: Signer) -> None:
        self.signer = signer
        self._mch_id = mch_id

    def authorize(self, method: str, target: str, *, timestamp: int) -> Steps[str]:
        """
        Return the Authorization header for a request without a body.

        :param target: path and query, byte for byte as sent
        :raises Unavailable, Misconfigured: the signer is elsewhere, and does not sign
        """
        nonce = secrets.token_hex(16)
        message = v3.message_to_sign(method, target, timestamp=timestamp, nonce=nonce)
        signature = yield from self.signer.sign(message)
        return v3.authorization(
            self._mch_id,
            serial=signature.serial,
            signature=signature.value,
            timestamp=timestamp,
            nonce=nonce,
        )


class IdentityCalls:
    """
    What is sent to learn who was seen, and when the answer is believed.

    :raises ValueError: partner mode without a sub_serial_no
    """

    def __init__(
        self,
        party: Party,
        *,
        credential: Credential,
        verifier: Verifier,
        sub_serial_no: str,
        hosts: Hosts,
        clock: Callable[[], float],
    ) -> None:
        if party.sub_mch_id and not sub_serial_no:
            raise ValueError("sub_serial_no")
        given = {
            "appid": party.appid,
            "sub_mchid": party.sub_mch_id,
            "sub_appid": party.sub_appid,
            "sub_serial_no": sub_serial_no,
        }
        self._query = {name: value for name, value in given.items() if value}
        self._credential = credential
        self._verifier = verifier
        self._hosts = hosts
        self._clock = clock
        self._fetch = _Fetch()

    def ask(self, face_sid: str, *, info_type: str) -> Steps[Answer]:
        """
        Ask who `face_sid` is (or the SDK's `token`); return the verified answer, unopened.

        https://pay.weixin.qq.com/wiki/doc/wxfacepay/develop/android/sid.html

        :raises ValueError: a face_sid has another shape; nothing was signed or sent
        :raises Unavailable, Rejected, Untrusted:
        """
        if not v3.FACE_SID.fullmatch(face_sid):
            raise ValueError("face_sid")
        yield from self._look_ahead()
        query = urlencode({"info_type": info_type, **self._query}, quote_via=quote)
        reply = yield from self._get(f"/v3/facemch/users/{face_sid}?{query}")
        try:
            yield from self._verify(reply)
        except Untrusted as exc:
            raise exc.about(status=reply.status, request_id=reply.request_id)  # noqa: B904
        return Answer(reply.body, plain_id(reply.request_id))

    def _get(self, target: str) -> Steps[Reply]:
        now = int(self._clock())
        authorization = yield from self._credential.authorize("GET", target, timestamp=now)
        headers = {"Authorization": authorization}
        if self._verifier.public_key_id:
            # Asks for answers signed with that key; without it they come signed by a certificate.
            headers["Wechatpay-Serial"] = self._verifier.public_key_id

        def request_to(url: str) -> httpx.Request:
            # The signature does not cover the host: the next one may be sent the same.
            return compose("GET", url, accept="application/json", headers=headers)

        return (yield from self._hosts.ask(target, request_to))

    def _verify(self, reply: Reply) -> Steps[None]:
        now = self._clock()
        try:
            self._verifier.verify(reply.headers, reply.body, now=now)
        except Untrusted as exc:
            if exc.fact != "unknown_serial":
                raise
        else:
            return
        # The answer in hand is verified again, not asked for again: it may be the only one.
        yield from self._learn()
        self._verifier.verify(reply.headers, reply.body, now=now)

    def _look_ahead(self) -> Steps[None]:
        """Learn the next certificate before the last one ends; a failure can wait an hour."""
        if self._verifier.last_expiry - self._clock() > AHEAD:
            return
        # Whoever comes meanwhile does not wait: the keys of today still serve.
        if not self._may_begin(at_most_every=AHEAD_INTERVAL):
            return
        try:
            yield from self._fetch_certificates()
        except WeChatError:
            return

    def _learn(self) -> Steps[None]:
        """Learn the certificates of the day, once for all who need them at the same time."""
        # What nobody answered says nothing of the certificates, and may be asked again at once.
        if self._may_begin(at_most_every=0.0 if self._fetch.failure else CERTIFICATE_INTERVAL):
            yield from self._fetch_certificates()
            return
        for _ in range(STEPS):
            if not self._fetch.is_under_way:
                break
            yield Pause(STEP)
        else:
            raise Unavailable("timeout")
        if self._fetch.failure and not self._verifier.public_key_id:
            raise Unavailable(self._fetch.failure)

    def _may_begin(self, *, at_most_every: float) -> bool:
        return self._verifier.may_learn and self._fetch.begin(
            self._clock(), at_most_every=at_most_every
        )

    def _fetch_certificates(self) -> Steps[None]:
        failure = "network"  # unless it ends in another way: whoever fetches may be cancelled
        try:
            reply = yield from self._get("/v3/certificates")
            failure = ""
            self._verifier.learn(reply.headers, reply.body, now=self._clock())
        except Rejected:
            failure = ""  # a merchant with a public key has no certificates to fetch: 404, or 403
        except WeChatError as exc:
            if isinstance(exc, Unavailable):
                failure = exc.fact
            if not self._verifier.public_key_id:
                raise
        finally:
            self._fetch.end(failure)


class _Fetch:
    """At most one fetch of certificates at a time, and not again too soon."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began_at = float("-inf")
        self.is_under_way = False
        self.failure = ""  # why nobody answered the last one

    def begin(self, now: float, *, at_most_every: float) -> bool:
        with self._lock:
            # A clock that was set back must not make the last one lie in the future for years.
            if self.is_under_way or 0 <= now - self._began_at < at_most_every:
                return False
            self._began_at, self.is_under_way, self.failure = now, True, ""
            return True

    def end(self, failure: str) -> None:
        with self._lock:
            self.is_under_way, self.failure = False, failure
