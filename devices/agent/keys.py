"""The terminal's own key: made on the device, and never leaving it."""

import base64
import hashlib
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Algorithm = Literal["ecdsa-p256-sha256", "ed25519"]


class UnusableKey(Exception):
    """The stored key is not a P-256 or Ed25519 private key."""


def make(algorithm: Algorithm) -> PrivateKey:
    """Return a new private key."""
    if algorithm == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP256R1())


def algorithm(key: PrivateKey) -> Algorithm:
    """Return which of the two kinds `key` is."""
    return "ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "ecdsa-p256-sha256"


def to_pem(key: PrivateKey) -> bytes:
    """Return the private key as unencrypted PKCS #8 PEM: for a file of mode 0600 only."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def from_pem(pem: bytes) -> PrivateKey:
    """
    Read what `to_pem` wrote.

    :raises UnusableKey:
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise UnusableKey from None
    match key:
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()) | ed25519.Ed25519PrivateKey():
            return key
    raise UnusableKey


def public_pem(key: PrivateKey) -> str:
    """Return the public half as SubjectPublicKeyInfo PEM, which is what the server keeps."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_id(key: PrivateKey) -> str:
    """Return base64url, unpadded, of SHA-256 over the DER SubjectPublicKeyInfo: 43 characters."""
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
