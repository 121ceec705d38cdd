"""
The keys of the v3 API: ours to open with, WeChat's to verify with.

Loading a private key checks it, which costs 36 ms: load once, keep the object.
"""

import base64
import binascii
from typing import Self, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from faceauth.wechat.errors import Undecryptable

MINIMUM_BITS = 2048

_Key = TypeVar("_Key", RSAPrivateKey, RSAPublicKey)


class Decryptor:
    """
    Opens what WeChat encrypted to the merchant's API certificate.

    This one API pads with RSAES-PKCS1-v1_5 where all the others use OAEP:
    https://github.com/wechatpay-apiv3/wechatpay-apache-httpclient/issues/33
    """

    def __init__(self, private_key: RSAPrivateKey) -> None:
        self._key = _strong(private_key)

    @classmethod
    def from_pem(cls, pem: bytes, *, password: bytes | None = None) -> Self:
        """
        Load a PEM private key; `password` if it is encrypted.

        :raises ValueError: not a PEM private key, not RSA, or under 2048 bits
        """
        return cls(rsa_private_key(pem, password))

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


def strict_base64(text: str) -> bytes | None:
    """Return what `text` encodes, or None if any of it is not base64."""
    if not text.isascii():
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def private_key(pem: bytes, password: bytes | None = None) -> object:
    """
    Load a PEM private key of any kind.

    :raises ValueError: not a PEM private key, of a kind nobody here knows, or not that password
    """
    try:
        return load_pem_private_key(pem, password=password)
    except (TypeError, UnsupportedAlgorithm):  # TypeError: a password too many, or none
        raise ValueError("not a private key we can load") from None


def rsa_private_key(pem: bytes, password: bytes | None = None) -> RSAPrivateKey:
    """
    Load a PEM private key of the strength WeChat issues.

    :raises ValueError: not a PEM private key, not RSA, under 2048 bits, or not that password
    """
    key = private_key(pem, password)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")  # noqa: TRY004 - what the file holds is a value
    return _strong(key)


def rsa_public_key(key: object) -> RSAPublicKey:
    """
    Return `key` if it is RSA and strong enough to believe.

    :raises ValueError: it is not
    """
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
