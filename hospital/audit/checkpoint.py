"""
Checkpoints: the size and root of the log, signed as notes.

The text forms of https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note and, for what a
witness adds, https://c2sp.org/tlog-cosignature. Ed25519 throughout. Pure.
"""

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from hospital.audit.merkle import HASH_SIZE

_ED25519: Final = 0x01
_COSIGNATURE: Final = 0x04
_NAME: Final = re.compile(r"[^\s+]+")
_SIGNATURE: Final = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_ID_SIZE: Final = 4  # bytes
_SIGNATURE_SIZE: Final = 64  # bytes
_TIME: Final = struct.Struct(">Q")  # seconds since 1970


class BadNote(Exception):
    """Not a note, or not signed by whom it has to be."""


@dataclass(frozen=True)
class Checkpoint:
    """How large a log was, and what its root was then. `origin` names the log for ever."""

    origin: str
    size: int
    root: bytes

    def body(self) -> str:
        """Return the text that is signed, its last newline included."""
        return f"{self.origin}\n{self.size}\n{_base64(self.root)}\n"

    @classmethod
    def parse(cls, body: str) -> Self:
        """
        Return the checkpoint a body states. Further lines are allowed, and signed, but not read.

        :raises BadNote:
        """
        lines = body.split("\n")
        if len(lines) < 4 or lines[-1]:  # noqa: PLR2004 (three lines and the end of the last)
            raise BadNote("not a checkpoint")
        origin, size, root = lines[0], lines[1], _bytes(lines[2])
        if not origin or not _SIZE.fullmatch(size) or len(root) != HASH_SIZE:
            raise BadNote("not a checkpoint")
        return cls(origin, int(size), root)


@dataclass(frozen=True)
class Verifier:
    """Somebody's public key, under the name their signatures carry."""

    name: str
    public_key: bytes
    is_witness: bool = False

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """
        Return the key that is written `name+id+base64` (signed-note, "Verifier keys").

        :raises BadNote:
        """
        name, _, rest = vkey.partition("+")
        ident, _, encoded = rest.partition("+")
        key = _bytes(encoded)
        if not _NAME.fullmatch(name) or len(key) != 33 or key[0] not in {_ED25519, _COSIGNATURE}:  # noqa: PLR2004
            raise BadNote("not a verifier key")
        found = cls(name, key[1:], is_witness=key[0] == _COSIGNATURE)
        if found.ident.hex() != ident:
            raise BadNote("not a verifier key")
        return found

    @cached_property
    def ident(self) -> bytes:
        """The 4 bytes by which a signature names this key."""
        return hashlib.sha256(f"{self.name}\n".encode() + self._typed).digest()[:_ID_SIZE]

    def __str__(self) -> str:
        return f"{self.name}+{self.ident.hex()}+{_base64(self._typed)}"

    def verify(self, body: str, signature: bytes) -> int | None:
        """
        Verify a signature over a body; return when a witness made it, in seconds since 1970.

        :raises BadNote:
        """
        message, at = body.encode(), None
        if self.is_witness:
            if len(signature) != _TIME.size + _SIGNATURE_SIZE:
                raise BadNote("not a cosignature")
            [at] = _TIME.unpack_from(signature)
            message, signature = _cosigned(body, at), signature[_TIME.size :]
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            raise BadNote(f"{self.name} did not sign this") from None
        return at

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(self.public_key)

    @property
    def _typed(self) -> bytes:
        return bytes([_COSIGNATURE if self.is_witness else _ED25519]) + self.public_key


@dataclass(frozen=True)
class Signer:
    """A log's private key, or a witness's, under the name its signatures carry."""

    name: str
    key: Ed25519PrivateKey
    is_witness: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("a signer's name has no spaces and no plus sign")

    @property
    def verifier(self) -> Verifier:
        return Verifier(self.name, self.key.public_key().public_bytes_raw(), self.is_witness)

    def line(self, body: str, *, at: int = 0) -> str:
        """
        Return the signature line for a body.

        :param at: seconds since 1970, which a witness states
        """
        if self.is_witness:
            signature = _TIME.pack(at) + self.key.sign(_cosigned(body, at))
        else:
            signature = self.key.sign(body.encode())
        return f"— {self.name} {_base64(self.verifier.ident + signature)}\n"


@dataclass(frozen=True)
class Note:
    """A signed text: its body, and the lines of its signatures as they stand."""

    body: str
    signatures: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Return the note a text is.

        :raises BadNote:
        """
        body, separator, lines = text.rpartition("\n\n")
        signatures = lines.splitlines(keepends=True)
        if not separator or not signatures or not lines.endswith("\n"):
            raise BadNote("not a note")
        if any(not _SIGNATURE.fullmatch(line.rstrip("\n")) for line in signatures):
            raise BadNote("not a note")
        return cls(f"{body}\n", tuple(signatures))

    def __str__(self) -> str:
        return f"{self.body}\n{''.join(self.signatures)}"

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """
        What it states; believe it after `verify`.

        :raises BadNote:
        """
        return Checkpoint.parse(self.body)

    def verify(self, by: Verifier) -> int | None:
        """
        Verify that `by` signed it; return when, if they are a witness.

        Of several signatures by one key every one must be right.

        :raises BadNote: they did not
        """
        theirs = [
            signature
            for name, ident, signature in self._signed()
            if (name, ident) == (by.name, by.ident)
        ]
        if not theirs:
            raise BadNote(f"not signed by {by.name}")
        times = [by.verify(self.body, signature) for signature in theirs]
        return times[0]

    def is_signed_by(self, who: Verifier) -> bool:
        """Return whether `verify` would find nothing wrong."""
        try:
            self.verify(who)
        except BadNote:
            return False
        return True

    def with_lines(self, lines: Iterable[str]) -> "Note":
        """Return the note with further signatures."""
        return Note(self.body, self.signatures + tuple(lines))

    def _signed(self) -> Iterable[tuple[str, bytes, bytes]]:
        for line in self.signatures:
            found = _SIGNATURE.fullmatch(line.rstrip("\n"))
            if found:
                blob = _bytes(found[2])
                yield found[1], blob[:_ID_SIZE], blob[_ID_SIZE:]


def _cosigned(body: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{body}".encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise BadNote("not base64") from None
