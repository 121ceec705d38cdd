"""
A digest in the trail that commits to a value without telling it, for as long as that is wanted.

SHA-256 over 32 random bytes and the value. Without the salt nobody can try out values, and with
the salt gone the digest says nothing for ever, while every proof over the line that carries it
still holds.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection
from typing import Final
from uuid import UUID

from hospital import statements
from hospital.audit.kept import Commitment

SALT_BYTES: Final = 32
# So that the digest can never be taken for one that was made of something else.
_DOMAIN: Final = b"hospital.audit/commitment/v1\0"


def commit(value: bytes | str, *, subject: UUID) -> str:
    """Return the digest, in hex, and keep its salt until `subject` is forgotten."""
    made = commitment(value, subject=subject)
    statements.insert(made)
    return made.digest


def commitment(value: bytes | str, *, subject: UUID) -> Commitment:
    """Return the digest, in hex, and its salt, for who writes them with the event."""
    salt = secrets.token_bytes(SALT_BYTES)
    return Commitment(digest=_digest(salt, value), subject=subject, salt=salt)


def opens(digest: str, value: bytes | str) -> bool | None:
    """Return whether `digest` commits to `value`; None if its salt is not there (any more)."""
    return opened(digest, value, salt=salts([digest]).get(digest))


def salts(digests: Collection[str]) -> dict[str, bytes]:
    """Return the salts that are there (still), by their digests."""
    rows = Commitment.objects.filter(digest__in=digests).values_list("digest", "salt")
    return {digest: bytes(salt) for digest, salt in rows}


def opened(digest: str, value: bytes | str, *, salt: bytes | None) -> bool | None:
    """Return whether `digest` commits to `value` under this salt; None if there is none."""
    return None if salt is None else hmac.compare_digest(_digest(salt, value), digest)


def forget(subject: UUID) -> int:
    """Remove the salts of this subject; return how many there were."""
    gone, _ = Commitment.objects.filter(subject=subject).delete()
    return gone


def _digest(salt: bytes, value: bytes | str) -> str:
    octets = value.encode() if isinstance(value, str) else value
    return hashlib.sha256(_DOMAIN + salt + octets).hexdigest()
