"""
The form of a sealed value, and the only way in and out of it.

    FE 01 suite flags | generation u32 BE | nonce 12 | ciphertext n | tag 16

FE never begins UTF-8, so plaintext in a sealed column is recognised at once. The key
generation is in the header: one key is tried, never several. The header, the column's
label, the patient and the row are authenticated, so that a value moved anywhere else
does not open. An older value put back in the same cell does: that is for the trail to show.
"""

import struct
from functools import lru_cache
from os import urandom
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag

from hospital.crypto.suites import NONCE_SIZE, TAG_SIZE, Key, Suite

BUCKET: Final = 32  # bytes; names and document numbers all fill one, so length says nothing
PADDED: Final = 0x01
_MAGIC: Final = b"\xfe\x01"
_HEADER: Final = struct.Struct(">2sBBI")
_SMALLEST: Final = _HEADER.size + NONCE_SIZE + TAG_SIZE
_MARK: Final = 0x80  # ends the text; after it there are zeros (ISO/IEC 7816-4)

_SIZED: Final = b"\0\0\0\x10"  # `pack`: what comes next are 16 bytes


class Unopenable(Exception):
    """There is no reading this value. Never carries any part of it."""


class NotSealed(Unopenable):
    """These bytes were not made by `seal`."""


class UnsupportedSuite(Unopenable):
    """Sealed with a cipher this version does not know."""


class Tampered(Unopenable):
    """Changed, or moved to another row, column or patient, since it was sealed."""


def seal(
    plaintext: bytes, *, key: Key, generation: int, context: str, subject: UUID, row: UUID
) -> bytes:
    """
    Return `plaintext` sealed for one place: 36 bytes more than the padded plaintext.

    :param context: a label such as ``patient.name``, fixed for ever; it is not derived from a
        table or column, so those may be renamed
    :raises ValueError: `generation` is not 1 … 2³²-1
    """
    header = header_of(key.suite, generation)
    return seal_with(key, header, plaintext, begin_of(header, context), subject, row)


def unseal(blob: bytes, *, key: Key, context: str, subject: UUID, row: UUID) -> bytes:
    """
    Return what was sealed for this very place.

    :raises NotSealed: not a sealed value, or of a form this version does not read
    :raises UnsupportedSuite: of this form, with an unknown cipher
    :raises Tampered: the key, the place or the bytes are not those of the sealing
    """
    if len(blob) < _SMALLEST:
        raise NotSealed
    header = blob[:8]
    if _read_header(header)[0] is not key.suite:
        raise Tampered  # the header names another cipher than the key was made for
    return unseal_with(key, blob, begin_of(header, context), subject, row)


# Every writing and every reading of every value passes through the next two; names take time.


def seal_with(  # noqa: PLR0917
    key: Key, header: bytes, plaintext: bytes, begin: bytes, subject: UUID, row: UUID
) -> bytes:
    """Do as `seal`, with what `header_of` and `begin_of` make of the key and the context."""
    nonce = urandom(NONCE_SIZE)
    mine = row.int.to_bytes(16, "big")
    whose = mine if subject is row else subject.int.to_bytes(16, "big")
    # ISO/IEC 7816-4: 80, then zeros up to the next bucket.
    padded = (plaintext + b"\x80").ljust((len(plaintext) // BUCKET + 1) * BUCKET, b"\0")
    return header + nonce + key.bare_encrypt(nonce, padded, begin + whose + _SIZED + mine)


def unseal_with(key: Key, blob: bytes, begin: bytes, subject: UUID, row: UUID) -> bytes:
    """
    Do as `unseal`, for a padded value whose header `begin_of` was given.

    :raises Tampered: also if it is cut off
    """
    mine = row.int.to_bytes(16, "big")
    whose = mine if subject is row else subject.int.to_bytes(16, "big")
    try:
        padded = key.bare_decrypt(blob[8:20], blob[20:], begin + whose + _SIZED + mine)
    except (InvalidTag, ValueError):  # ValueError: so short that the nonce is
        raise Tampered from None
    text = padded.rstrip(b"\0")
    if not text or text[-1] != _MARK:
        raise Tampered
    return text[:-1]


def generation_of(blob: bytes) -> int:
    """
    Return the generation of the key this value asks for; not yet authenticated.

    :raises NotSealed, UnsupportedSuite:
    """
    if len(blob) < _SMALLEST:
        raise NotSealed
    return _read_header(blob[:8])[1]


def pack(*parts: bytes) -> bytes:
    """Join parts so that no two lists of parts give the same bytes: each after its u32 length."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


# A table has few headers and a project few contexts; each is worked out once.


@lru_cache
def header_of(suite: Suite, generation: int) -> bytes:
    """
    Return what begins every value sealed with a key of this suite and generation.

    :raises ValueError: `generation` is not 1 … 2³²-1
    """
    if not 1 <= generation < 1 << 32:
        raise ValueError("a key generation is 1 … 2**32-1")
    return _HEADER.pack(_MAGIC, suite, PADDED, generation)


@lru_cache
def begin_of(header: bytes, context: str) -> bytes:
    """
    Return what is authenticated before the subject and the row.

    All of it is ``pack(b"hfe1", header, context, subject, row)``.
    """
    return pack(b"hfe1", header, context.encode()) + _SIZED


@lru_cache
def _read_header(header: bytes) -> tuple[Suite, int]:
    magic, number, flags, generation = _HEADER.unpack(header)
    if magic != _MAGIC or flags != PADDED or not generation:
        raise NotSealed
    try:
        return Suite(number), generation
    except ValueError:
        raise UnsupportedSuite from None
