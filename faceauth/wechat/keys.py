"""
The keys of the v3 API: ours to sign with, ours to open with, WeChat's to verify with.

Loading a private key checks it, which costs 36 ms: load once, keep the object.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Self, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from faceauth.wechat.errors import Undecryptable

MINIMUM_BITS = 2048

_Key = TypeVar("_Key", RSAPrivateKey, RSAPublicKey)


class Signer:
    """The merchant's signature: WECHATPAY2-SHA256-RSA2048. In partner mode the 服务商's."""

    def __init__(self, mch_id: str, serial: str, private_key: RSAPrivateKey) -> None:
        self.mch_id = mch_id
        self.serial = serial
        self._key = _strong(private_key)

    @classmethod
    def from_pem(cls, pem: bytes, *, mch_id: str, serial: str) -> Self:
        """
        Load a PEM private key; `serial` is that of the merchant's API certificate.

        :raises ValueError: not a PEM private key, not RSA, or under 2048 bits
        """
        return cls(mch_id, serial, _private(pem))

    def sign(self, message: bytes) -> str:
        """Return the signature over `message`, base64."""
        signature = self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode()


class Decryptor:
    """
    Opens what WeChat encrypted to the merchant's API certificate.

    This one API pads with RSAES-PKCS1-v1_5 where all the others use OAEP:
    https://github.com/wechatpay-apiv3/wechatpay-apache-httpclient/issues/33
    """

    def __init__(self, private_key: RSAPrivateKey) -> None:
        self._key = _strong(private_key)

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """
        Load a PEM private key.

        :raises ValueError: not a PEM private key, not RSA, or under 2048 bits
        """
        return cls(_private(pem))

    def open(self, ciphertext: str) -> str:
        """
        Return the text in `ciphertext` (base64), which may still be noise: judge it.

        :raises Undecryptable: base64, size, text
        """
        sealed = strict_base64(ciphertext)
        if sealed is None:
            raise Undecryptable("base64")
        if len(sealed) != self._key.key_size // 8:
            raise Undecryptable("size")
        try:
            opened = self._key.decrypt(sealed, padding.PKCS1v15())
        except ValueError:  # as a number, not below the modulus
            opened = None
        if opened is None:
            raise Undecryptable("size")
        text = _text(opened)
        if text is None:
            raise Undecryptable("text")
        return text


class WeChatKeys:
    """
    Every key WeChat may sign an answer with, by serial; the answer says which one it was.

    Platform certificates and the WeChat Pay public key live side by side: during the switch
    from one to the other, answers come signed by either.

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
        self.apiv3_key = apiv3_key.encode()
        self.public_key_id = next(iter(public_keys or ()), "")
        self._keys = {
            _bare(serial): (_public(load_pem_public_key(pem)), float("inf"))
            for serial, pem in (public_keys or {}).items()
        }
        self.add(certificates)

    def add(self, certificates: Iterable[bytes]) -> None:
        """
        Trust these certificates (PEM) too.

        :raises ValueError: not a PEM certificate, not RSA, or under 2048 bits
        """
        loaded = [x509.load_pem_x509_certificate(pem) for pem in certificates]
        # One assignment: another thread sees the keys before or after, never in between.
        self._keys = self._keys | {
            _bare(f"{one.serial_number:X}"): (
                _public(one.public_key()),
                one.not_valid_after_utc.timestamp(),
            )
            for one in loaded
        }

    def joined_by(self, certificates: Iterable[bytes]) -> "WeChatKeys":
        """Return these keys and `certificates`, leaving these as they are."""
        joined = WeChatKeys()
        joined._keys = self._keys
        joined.add(certificates)
        return joined

    def find(self, serial: str, *, now: float) -> RSAPublicKey | None:
        """Return the key WeChat calls `serial`, unless its certificate ended before `now`."""
        key, end = self._keys.get(_bare(serial), (None, 0.0))
        return key if now <= end else None


def strict_base64(text: str) -> bytes | None:
    """Return what `text` encodes, or None if any of it is not base64."""
    if not text.isascii():
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def _bare(serial: str) -> str:
    # Tools disagree on whether a serial that starts with a zero shows it.
    return serial.upper().lstrip("0")


def _private(pem: bytes) -> RSAPrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")  # noqa: TRY004 - what the file holds is a value
    return key


def _public(key: object) -> RSAPublicKey:
    if not isinstance(key, RSAPublicKey):
        raise ValueError("not an RSA key")  # noqa: TRY004
    return _strong(key)


def _strong(key: _Key) -> _Key:
    if key.key_size < MINIMUM_BITS:
        raise ValueError("an RSA key of under 2048 bits")
    return key


def _text(opened: bytes) -> str | None:
    try:
        return opened.decode()
    except UnicodeDecodeError:  # it carries the bytes, so it must not become anyone's context
        return None
