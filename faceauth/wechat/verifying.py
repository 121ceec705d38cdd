"""Whether an answer is WeChat's: its signature, its age, and the keys it may be signed with."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from faceauth.wechat import v3
from faceauth.wechat.errors import Untrusted
from faceauth.wechat.keys import rsa_public_key, strict_base64

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_NONCE = re.compile(r"[!-~]{1,128}", re.ASCII)  # a line feed would move the end of the message


class Verifier:
    """
    Every key WeChat may sign an answer with, by serial; the answer says which one it was.

    Platform certificates and the WeChat Pay public key live side by side: during the switch
    from one to the other, answers come signed by either. Threads may share one.

    `certificates` are PEM, `public_keys` PEM by their PUB_KEY_ID_…; `apiv3_key` opens the
    certificates WeChat hands out, and may be empty when none are to be fetched.

    :raises ValueError: not PEM, not RSA, under 2048 bits, or an apiv3_key not of 32 bytes
    """

    def __init__(
        self,
        *,
        certificates: Iterable[bytes] = (),
        public_keys: Mapping[str, bytes] | None = None,
        apiv3_key: str = "",
    ) -> None:
        if apiv3_key and len(apiv3_key.encode()) != 32:  # noqa: PLR2004 - AES-256
            raise ValueError("apiv3_key")
        self._apiv3_key = apiv3_key.encode()
        self.public_key_id = next(iter(public_keys or ()), "")
        self._keys = {
            _bare(serial): (_public_key(partial(load_pem_public_key, pem)), float("inf"))
            for serial, pem in (public_keys or {}).items()
        }
        self.add(certificates)

    @property
    def may_learn(self) -> bool:
        """Whether certificates that WeChat hands out can be opened."""
        return bool(self._apiv3_key)

    @property
    def last_expiry(self) -> float:
        """When the last certificate ends, in Unix seconds; inf if there is none to end."""
        ends = [end for _, end in self._keys.values() if end != float("inf")]
        return max(ends, default=float("inf"))

    def add(self, certificates: Iterable[bytes]) -> None:
        """
        Trust these certificates (PEM) too.

        :raises ValueError: not a PEM certificate, not RSA, or under 2048 bits
        """
        loaded = [x509.load_pem_x509_certificate(pem) for pem in certificates]
        # One assignment: another thread sees the keys before or after, never in between.
        self._keys = self._keys | {
            _bare(f"{one.serial_number:X}"): (
                _public_key(one.public_key),
                one.not_valid_after_utc.timestamp(),
            )
            for one in loaded
        }

    def verify(self, headers: Mapping[str, str], body: bytes, *, now: float) -> None:
        """
        Return if WeChat signed `body` within five minutes of `now` (Unix seconds).

        :raises Untrusted: missing_signature, signtest, base64, unknown_algorithm, malformed,
            stale, future, unknown_serial, bad_signature
        """
        given = {name.lower(): value for name, value in headers.items()}
        timestamp = given.get("wechatpay-timestamp", "")
        nonce = given.get("wechatpay-nonce", "")
        serial = given.get("wechatpay-serial", "")
        signature = given.get("wechatpay-signature", "")
        if not (timestamp and nonce and serial and signature):
            raise Untrusted("missing_signature")
        if signature.startswith(v3.PROBE):
            raise Untrusted("signtest")
        if given.get("wechatpay-signature-type", v3.SCHEME) != v3.SCHEME:
            raise Untrusted("unknown_algorithm")
        if not (_TIMESTAMP.fullmatch(timestamp) and _NONCE.fullmatch(nonce)):
            raise Untrusted("malformed")
        if now - int(timestamp) > v3.CLOCK_SKEW:
            raise Untrusted("stale")
        if int(timestamp) - now > v3.CLOCK_SKEW:
            raise Untrusted("future")
        made = strict_base64(signature)
        if made is None:
            raise Untrusted("base64")
        key = self._find(serial, now=now)
        if key is None:
            raise Untrusted("unknown_serial")
        message = v3.signed_message(timestamp, nonce, body)
        try:
            key.verify(made, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise Untrusted("bad_signature") from None

    def learn(self, headers: Mapping[str, str], body: bytes, *, now: float) -> None:
        """
        Trust the certificates that an answer of /v3/certificates brings.

        The first such answer is signed by a certificate it carries itself. So they are opened
        first, which only the holder of the APIv3 key can have closed, and the answer is then
        verified with the old keys and these.

        :raises Untrusted: malformed, bad_certificate, or as for verify()
        """
        brought = v3.certificates(body, self._apiv3_key)
        joined = Verifier()
        joined._keys = self._keys
        try:
            joined.add(brought)
        except ValueError:
            raise Untrusted("bad_certificate") from None
        joined.verify(headers, body, now=now)
        self.add(brought)

    def _find(self, serial: str, *, now: float) -> RSAPublicKey | None:
        """Return the key WeChat calls `serial`, unless its certificate ended before `now`."""
        key, end = self._keys.get(_bare(serial), (None, 0.0))
        return key if now <= end else None


def _public_key(load: Callable[[], object]) -> RSAPublicKey:
    try:
        return rsa_public_key(load())
    except UnsupportedAlgorithm:  # 国密, say
        raise ValueError("not an RSA key") from None


def _bare(serial: str) -> str:
    # Tools disagree on whether a serial that starts with a zero shows it.
    return serial.upper().lstrip("0")
