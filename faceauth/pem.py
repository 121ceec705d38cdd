"""What an operator hands us as a key or a certificate: judged and made plain before it is kept."""

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from faceauth.wechat.keys import MINIMUM_BITS
from hospital.errors import Refusal

_BOM: Final = b"\xef\xbb\xbf"
_APIV2: Final = re.compile(rb"[0-9A-Za-z]{32}")
_APIV3: Final = re.compile(rb"[!-~]{32}")


class Unfit(Refusal):
    """It is not what was asked for. Never carries any part of it."""

    code = "unfit"


class NotAKey(Unfit):
    message = "不是 PEM 私钥：请用 apiclient_key.pem 的全部内容"


class PasswordWanted(Unfit):
    message = "私钥有密码保护，请填写密码"


class WrongPassword(Unfit):
    message = "私钥密码不对"


class NotRsa(Unfit):
    message = "不是 RSA 密钥"


class NotASignerKey(Unfit):
    message = "签名服务私钥须为 Ed25519 或 P-256"


class TooShort(Unfit):
    message = f"RSA 密钥至少 {MINIMUM_BITS} 位"


class NotACertificate(Unfit):
    message = "不是 PEM 证书：请用 apiclient_cert.pem 的全部内容"


class NotAPublicKey(Unfit):
    message = "不是 PEM 公钥：请用 pub_key.pem 的全部内容"


class NotApiv2(Unfit):
    message = "APIv2 密钥须为 32 位字母和数字"


class NotApiv3(Unfit):
    message = "APIv3 密钥须为 32 位字符"


@dataclass(frozen=True)
class PrivateKey:
    """A private key as PKCS#8 without a password, and the fingerprint of its other half."""

    pem: bytes
    spki: bytes

    def __repr__(self) -> str:
        return f"PrivateKey({self.fingerprint[:16]})"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public half's SPKI, in hex."""
        return hashlib.sha256(self.spki).hexdigest()

    @property
    def key_id(self) -> str:
        """The same digest as base64url without padding: how a signing service names a key."""
        return base64.urlsafe_b64encode(hashlib.sha256(self.spki).digest()).rstrip(b"=").decode()


@dataclass(frozen=True)
class Certificate:
    """What a certificate says that we go by."""

    pem: str
    serial: str  # hex, in capitals, as WeChat writes it
    expires_at: datetime
    fingerprint: str  # of its public key, like PrivateKey's


@dataclass(frozen=True)
class PublicKey:
    """WeChat's public key."""

    pem: str
    fingerprint: str


def apiv2_key(text: bytes) -> bytes:
    """
    Return the key without the blanks around it.

    :raises NotApiv2:
    """
    if not _APIV2.fullmatch(text.strip()):
        raise NotApiv2
    return text.strip()


def apiv3_key(text: bytes) -> bytes:
    """
    Return the key without the blanks around it.

    :raises NotApiv3:
    """
    if not _APIV3.fullmatch(text.strip()):
        raise NotApiv3
    return text.strip()


def rsa_key(pem: bytes, *, password: str = "") -> PrivateKey:
    """
    Read the key of a merchant's certificate.

    :raises Unfit: in its many forms
    """
    key = _private(pem, password)
    if not isinstance(key, RSAPrivateKey):
        raise NotRsa
    if key.key_size < MINIMUM_BITS:
        raise TooShort
    return _plain(key)


def signer_key(pem: bytes, *, password: str = "") -> PrivateKey:
    """
    Read the key that signs our requests to a signing service.

    :raises Unfit: in its many forms
    """
    key = _private(pem, password)
    p256 = isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
    if not p256 and not isinstance(key, Ed25519PrivateKey):
        raise NotASignerKey
    return _plain(key)


def certificate(pem: bytes) -> Certificate:
    """
    Read a merchant's API certificate.

    :raises NotACertificate, NotRsa, TooShort:
    """
    try:
        loaded = x509.load_pem_x509_certificate(pem.removeprefix(_BOM))
        key = loaded.public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise NotACertificate from None
    return Certificate(
        pem=loaded.public_bytes(Encoding.PEM).decode(),
        serial=f"{loaded.serial_number:X}",
        expires_at=loaded.not_valid_after_utc,
        fingerprint=_fingerprint(key),
    )


def wechat_public_key(pem: bytes) -> PublicKey:
    """
    Read WeChat's public key.

    :raises NotAPublicKey, NotRsa, TooShort:
    """
    try:
        key = load_pem_public_key(pem.removeprefix(_BOM))
    except (ValueError, UnsupportedAlgorithm):
        raise NotAPublicKey from None
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return PublicKey(text, _fingerprint(key))


def _private(pem: bytes, password: str) -> PrivateKeyTypes:
    pem = pem.removeprefix(_BOM)
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:  # it has a password
        pass
    except (ValueError, UnsupportedAlgorithm):
        raise NotAKey from None
    if not password:
        raise PasswordWanted
    try:
        return load_pem_private_key(pem, password=password.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise WrongPassword from None


def _plain(key: PrivateKeyTypes) -> PrivateKey:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateKey(pem, _spki(key.public_key()))


def _fingerprint(key: PublicKeyTypes) -> str:
    if not isinstance(key, RSAPublicKey):
        raise NotRsa
    if key.key_size < MINIMUM_BITS:
        raise TooShort
    return hashlib.sha256(_spki(key)).hexdigest()


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
