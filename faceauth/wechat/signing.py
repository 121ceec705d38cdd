"""
Who signs our v3 requests: a key of ours, or the 服务商's signing service.

A signer sees the string to sign and never an answer.
"""

import base64
import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol, Self

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from http_message_signatures import HTTPMessageSigner, algorithms
from http_message_signatures.resolvers import MappingKeyResolver

from faceauth.wechat.breaker import Breaker
from faceauth.wechat.errors import Misconfigured, Unavailable, Untrusted, WeChatError
from faceauth.wechat.exchange import Channel, Reply, compose
from faceauth.wechat.keys import private_key, rsa_private_key, strict_base64
from faceauth.wechat.permitting import Permit, anywhere
from faceauth.wechat.steps import Ask, Steps

TAG = "wechat-signing-v1"
COMPONENTS = ("@method", "@path", "content-digest")

_SERIAL = re.compile(r"[0-9A-Za-z]{1,40}", re.ASCII)  # it becomes part of a header


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature in base64, and the serial of the certificate whose key made it."""

    serial: str
    value: str = field(repr=False)


class Signer(Protocol):
    """Signs in the merchant's name: WECHATPAY2-SHA256-RSA2048. In partner mode the 服务商's."""

    def sign(self, message: bytes) -> Steps[Signature]:
        """
        Return the signature over `message`.

        :raises Unavailable: the signing service does not answer
        :raises Misconfigured: signer; it will not sign this for us
        """

    def close(self) -> None:
        """Let connections go, if there are any."""

    async def aclose(self) -> None:
        """Let connections of tasks go, if there are any."""


class LocalSigner:
    """A signer that holds the key; `serial` is that of the merchant's API certificate."""

    def __init__(self, serial: str, private_key: RSAPrivateKey) -> None:
        self._serial = serial
        self._key = private_key

    @classmethod
    def from_pem(cls, pem: bytes, *, serial: str, password: bytes | None = None) -> Self:
        """
        Load a PEM private key; `password` if it is encrypted.

        :raises ValueError: not a PEM private key, not RSA, or under 2048 bits
        """
        return cls(serial, rsa_private_key(pem, password))

    def sign(self, message: bytes) -> Steps[Signature]:
        """Return the signature over `message`, without asking anybody."""
        yield from ()  # steps like every signer's, with nobody to ask
        made = self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return Signature(self._serial, base64.b64encode(made).decode())

    def close(self) -> None:
        """Nothing is open."""

    async def aclose(self) -> None:
        """Nothing is open."""


class RemoteSigner:
    """
    Asks the 服务商's signing service, which knows us by the key our requests are signed with.

    The protocol is RFC 9421 over HTTPS; docs/signing-service.md has it whole. `private_key_pem`
    is Ed25519 or P-256, PEM; `key_id` is the name the service gave it.

    :raises ValueError: another kind of key, or not PEM
    """

    def __init__(
        self,
        url: str,
        *,
        key_id: str,
        private_key_pem: bytes,
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
        permit: Permit = anywhere,
        clock: Callable[[], float] = time.time,
    ) -> None:
        key = private_key(private_key_pem)
        match key:
            case ed25519.Ed25519PrivateKey():
                algorithm: type = algorithms.ED25519
            case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
                algorithm = algorithms.ECDSA_P256_SHA256
            case _:
                raise ValueError("not an Ed25519 or P-256 key")
        self._url = url
        self._key_id = key_id
        self._clock = clock
        self._signer = HTTPMessageSigner(
            signature_algorithm=algorithm,
            key_resolver=MappingKeyResolver(public_keys={}, private_keys={key_id: key}),
        )
        self._breaker = Breaker()
        self._channel = Channel(transport, permit=permit)

    def sign(self, message: bytes) -> Steps[Signature]:
        """
        Ask the service to sign `message`.

        :raises Unavailable: signer_…; it does not answer
        :raises Misconfigured: signer; it does not know us, or will not sign this
        """
        try:
            with self._breaker.watching():
                reply = yield from self._ask(message)
        except Unavailable as exc:
            # Not WeChat's trouble: its own name says whom to call.
            failure: WeChatError = Unavailable(f"signer_{exc.fact}", retry_after=exc.retry_after)
        except Untrusted:  # more than any signature is long
            failure = Misconfigured("SIGNER", fact="signer")
        else:
            return _signature(reply)
        raise failure

    def close(self) -> None:
        """Let the connections go."""
        self._channel.close()

    async def aclose(self) -> None:
        """Let the connections of tasks go."""
        await self._channel.aclose()

    def _ask(self, message: bytes) -> Steps[Reply]:
        reply = yield Ask(self._channel, self._request(message))
        assert reply is not None  # noqa: S101 - every Ask is answered with one
        if reply.is_failure_of_theirs:
            raise Unavailable("http_5xx", retry_after=reply.wait)
        if reply.status == httpx.codes.TOO_MANY_REQUESTS:
            raise Unavailable("http_429", retry_after=reply.wait)
        return reply

    def _request(self, message: bytes) -> httpx.Request:
        content = json.dumps({"message": message.decode()}).encode()
        request = compose(
            "POST",
            self._url,
            accept="application/json",
            headers={"Content-Type": "application/json"},
            content=content,
        )
        self._signer.sign(
            request,
            key_id=self._key_id,
            created=datetime.fromtimestamp(self._clock(), tz=UTC),
            nonce=secrets.token_urlsafe(24),
            label="sig1",
            tag=TAG,
            covered_component_ids=COMPONENTS,
            body=content,
        )
        return request


def _signature(reply: Reply) -> Signature:
    try:
        answer = json.loads(reply.body) if reply.status == httpx.codes.OK else None
    except (ValueError, RecursionError):
        answer = None
    match answer:
        case {"serial_no": str(serial), "signature": str(value)} if _SERIAL.fullmatch(
            serial
        ) and strict_base64(value):
            return Signature(serial, value)
    raise Misconfigured("SIGNER", fact="signer").about(status=reply.status, request_id="")
