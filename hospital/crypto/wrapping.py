"""
How one key wraps another: nonce 12 ‖ ciphertext ‖ tag 16, and a check value beside it.

The check value tells a wrong key from a value that was tampered with. It is 8 bytes of a MAC
under the key, so it says nothing of the key.
"""

import os
from hmac import compare_digest
from typing import Final

from hospital.crypto.sealing import Unopenable
from hospital.crypto.suites import NONCE_SIZE, Key, Mac, WrongTag

_CHECK_SIZE: Final = 8  # bytes


class WrongKey(Unopenable):
    """A wrapped key does not unwrap to the key its check value was made from."""


def wrap(key: Key, secret: bytes, *, aad: bytes) -> bytes:
    """Return `secret` wrapped under `key`, bound to what `aad` says of it."""
    nonce = os.urandom(NONCE_SIZE)
    return nonce + key.encrypt(nonce, secret, aad)


def unwrap(key: Key, wrapped: bytes, *, aad: bytes) -> bytes:
    """
    Return what was wrapped.

    :raises WrongKey: another key wrapped it, or for something else
    """
    try:
        return key.decrypt(wrapped[:NONCE_SIZE], wrapped[NONCE_SIZE:], aad)
    except (WrongTag, ValueError):
        raise WrongKey from None


def check_value(algorithm: Mac, secret: bytes) -> bytes:
    """Return the 8 bytes by which a key is recognised."""
    return algorithm.digest(secret, b"kcv")[:_CHECK_SIZE]


def checked(secret: bytes, *, algorithm: Mac, check: bytes) -> bytes:
    """
    Return `secret` if it is the one `check` was made from.

    :raises WrongKey:
    """
    if not compare_digest(check_value(algorithm, secret), check):
        raise WrongKey
    return secret


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
