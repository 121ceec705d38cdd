"""
Letters that whoever has the public key may post and only the holder of the other half may read.

    01 | key id 8 | HPKE: encapsulated key 32, ciphertext n, tag 16

The web posts what an administrator uploads and could not read it again; the worker reads. RFC
9180, base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, one letter per context.
`info` says what the letter is for, so that it opens nowhere else. The key id names the public
key: after a change of keys an old letter is a fact of its own, not a riddle.
"""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from hospital import durable

_VERSION: Final = b"\x01"
_ID_SIZE: Final = 8  # bytes
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class Unreadable(Exception):
    """There is no reading this letter here. Never carries any part of it."""


class KeyUnknown(Unreadable):
    """It was posted to another key than ours: that of before a change, or of elsewhere."""


class Tampered(Unreadable):
    """It was changed, or moved to where it was not meant for, or is no letter."""


class NoKeyFile(Exception):
    """The file of a letterbox key is not named, not there, not private, or holds no such key."""


def post(letter: bytes, *, to: X25519PublicKey, info: bytes) -> bytes:
    """Return `letter`, closed for the holder of `to`'s other half: 57 bytes more."""
    return _VERSION + key_id(to) + _SUITE.encrypt(letter, to, info=info)


def read(posted: bytes, *, key: X25519PrivateKey, info: bytes) -> bytes:
    """
    Return the letter that was posted to `key` for this very `info`.

    :raises KeyUnknown: it was posted to another key
    :raises Tampered: the bytes or `info` are not those of the posting
    """
    version, addressee, closed = posted[:1], posted[1 : 1 + _ID_SIZE], posted[1 + _ID_SIZE :]
    if version != _VERSION:
        raise Tampered
    if addressee != key_id(key.public_key()):
        raise KeyUnknown
    try:
        return bytes(_SUITE.decrypt(closed, key, info=info))
    except InvalidTag:
        raise Tampered from None


def key_id(key: X25519PublicKey) -> bytes:
    """Return the first 8 bytes of SHA-256 over the raw public key."""
    return hashlib.sha256(key.public_bytes_raw()).digest()[:_ID_SIZE]


def public_key(path: Path) -> X25519PublicKey:
    """
    Load the key that letters are posted to.

    :raises NoKeyFile:
    """
    try:
        loaded = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError):
        raise NoKeyFile(f"{path}: no public key") from None
    if not isinstance(loaded, X25519PublicKey):
        raise NoKeyFile(f"{path}: not X25519")
    return loaded


def private_key(path: Path) -> X25519PrivateKey:
    """
    Load the key that reads letters.

    :raises NoKeyFile: also when others than the owner may read the file
    """
    try:
        with path.open("rb") as file:
            # Of the open file, not of the path: it cannot change in between.
            shared = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
            loaded = None if shared else load_pem_private_key(file.read(), password=None)
    except (OSError, ValueError, TypeError):  # TypeError: it wants a password
        raise NoKeyFile(f"{path}: no private key") from None
    if shared:
        raise NoKeyFile(f"{path}: others may read it, chmod 600")
    if not isinstance(loaded, X25519PrivateKey):
        raise NoKeyFile(f"{path}: not X25519")
    return loaded


def create(*, private: Path, public: Path) -> bytes:
    """
    Make both halves, each on disk before this returns; return their key id.

    :raises FileExistsError: there is one; replacing it would shut every letter posted to it
    :raises OSError: neither was made
    """
    made = X25519PrivateKey.generate()
    half = made.public_key()
    spki = half.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    durable.create(public, spki, mode=0o644)
    try:
        pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        durable.create(private, pem)
    except OSError:
        public.unlink()  # the one just written: without its other half it is of no use
        raise
    return key_id(half)
