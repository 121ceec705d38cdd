"""
The form of a sealed value, and the only way in and out of it.

    FE 01 suite flags | generation u32 BE | nonce 12 | ciphertext n | tag 16

FE never begins UTF-8, so plaintext in a sealed column is recognised at once. The key
generation is in the header: one key is tried, never several. The header, the column's
label, the patient and the row are authenticated, so that a value moved anywhere else
does not open. An older value put back in the same cell does: that is for the trail to show.
"""

import os
import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from hospital.crypto import suites
from hospital.crypto.suites import NONCE_SIZE, TAG_SIZE, Suite

BUCKET: Final = 32  # bytes; names and document numbers all fill one, so length says nothing
PADDED: Final = 0x01
_MAGIC: Final = b"\xfe\x01"
_HEADER: Final = struct.Struct(">2sBBI")
_SMALLEST: Final = _HEADER.size + NONCE_SIZE + TAG_SIZE


class Unopenable(Exception):
    """There is no reading this value. Never carries any part of it."""


class NotSealed(Unopenable):
    """These bytes were not made by `seal`."""


class UnsupportedSuite(Unopenable):
    """Sealed with a cipher this version does not know."""


class Tampered(Unopenable):
    """Changed, or moved to another row, column or patient, since it was sealed."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """
    Where a value belongs.

    `context` is a label such as ``patient.name``, fixed for ever; it is not derived
    from a table or column, so those may be renamed.
    """

    context: str
    subject: UUID
    row: UUID


def seal(plaintext: bytes, *, key: bytes, suite: Suite, generation: int, place: Place) -> bytes:
    """
    Return `plaintext` sealed for one place: 36 bytes more than the padded plaintext.

    :raises ValueError: the key does not fit the suite, or `generation` is not 1 … 2³²-1
    """
    if not 1 <= generation < 1 << 32:
        raise ValueError("a key generation is 1 … 2**32-1")
    header = _HEADER.pack(_MAGIC, suite, PADDED, generation)
    nonce = os.urandom(NONCE_SIZE)
    ciphertext = suites.encrypt(
        suite, key=key, nonce=nonce, plaintext=_pad(plaintext), aad=_aad(header, place)
    )
    return header + nonce + ciphertext


def unseal(blob: bytes, *, key: bytes, place: Place) -> bytes:
    """
    Return what was sealed for this very place.

    :raises NotSealed: not a sealed value, or of a form this version does not read
    :raises UnsupportedSuite: of this form, with an unknown cipher
    :raises Tampered: the key, the place or the bytes are not those of the sealing
    """
    suite, flags, _generation = _read_header(blob)
    if len(key) != suite.key_size:
        raise Tampered  # the header names another cipher than the key was made for
    header, nonce = blob[: _HEADER.size], blob[_HEADER.size : _HEADER.size + NONCE_SIZE]
    try:
        plaintext = suites.decrypt(
            suite,
            key=key,
            nonce=nonce,
            ciphertext=blob[_HEADER.size + NONCE_SIZE :],
            aad=_aad(header, place),
        )
    except suites.WrongTag:
        raise Tampered from None
    return _unpad(plaintext) if flags & PADDED else plaintext


def generation_of(blob: bytes) -> int:
    """
    Return the generation of the key this value asks for; not yet authenticated.

    :raises NotSealed, UnsupportedSuite:
    """
    return _read_header(blob)[2]


def pack(*parts: bytes) -> bytes:
    """Join parts so that no two lists of parts give the same bytes: each after its u32 length."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _read_header(blob: bytes) -> tuple[Suite, int, int]:
    if len(blob) < _SMALLEST:
        raise NotSealed
    magic, number, flags, generation = _HEADER.unpack_from(blob)
    if magic != _MAGIC or flags & ~PADDED or not generation:
        raise NotSealed
    try:
        return Suite(number), flags, generation
    except ValueError:
        raise UnsupportedSuite from None


def _aad(header: bytes, place: Place) -> bytes:
    return pack(b"hfe1", header, place.context.encode(), place.subject.bytes, place.row.bytes)


def _pad(plaintext: bytes) -> bytes:
    # ISO/IEC 7816-4: 80, then zeros up to the next bucket.
    marked = plaintext + b"\x80"
    return marked + bytes(-len(marked) % BUCKET)


def _unpad(padded: bytes) -> bytes:
    plaintext, marker, zeros = padded.rpartition(b"\x80")
    if not marker or zeros.strip(b"\0"):
        raise Tampered
    return plaintext
