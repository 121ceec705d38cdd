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
    header, label = header_of(key.suite, generation), label_of(context)
    return seal_with(key, header, plaintext, label, subject, row)


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
    return unseal_with(key, header, blob, label_of(context), subject, row)


# Every writing and every reading of every value passes through the next two; names take time.


def seal_with(  # noqa: PLR0917
    key: Key, header: bytes, plaintext: bytes, label: bytes, subject: UUID, row: UUID
) -> bytes:
    """Do as `seal`, with what `header_of` and `label_of` make of the key and the context."""
    nonce = urandom(NONCE_SIZE)
    sealed = key.bare_encrypt(nonce, _pad(plaintext), _aad(header, label, subject, row))
    return b"%b%b%b" % (header, nonce, sealed)


def unseal_with(  # noqa: PLR0917
    key: Key, header: bytes, blob: bytes, label: bytes, subject: UUID, row: UUID
) -> bytes:
    """
    Do as `unseal`, for a value that begins with this header, which is of this key's suite.

    :raises NotSealed, Tampered:
    """
    if len(blob) < _SMALLEST:
        raise NotSealed
    try:
        padded = key.bare_decrypt(blob[8:20], blob[20:], _aad(header, label, subject, row))
    except InvalidTag:
        raise Tampered from None
    if not header[3] & PADDED:
        return padded
    text, mark, zeros = padded.rpartition(b"\x80")
    if not mark or zeros.strip(b"\0"):
        raise Tampered
    return text


def generation_of(blob: bytes) -> int:
    """
    Return the generation of the key this value asks for; not yet authenticated.

    :raises NotSealed, UnsupportedSuite:
    """
    if len(blob) < _SMALLEST:
        raise NotSealed
    return _read_header(blob[:8])[2]


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
def label_of(context: str) -> bytes:
    """Return the context as it is authenticated, with the length of what follows it."""
    return pack(context.encode()) + pack(bytes(16))[:4]


@lru_cache
def _read_header(header: bytes) -> tuple[Suite, int, int]:
    magic, number, flags, generation = _HEADER.unpack(header)
    if magic != _MAGIC or flags & ~PADDED or not generation:
        raise NotSealed
    try:
        return Suite(number), flags, generation
    except ValueError:
        raise UnsupportedSuite from None


def _aad(header: bytes, label: bytes, subject: UUID, row: UUID) -> bytes:
    """Return ``pack(b"hfe1", header, context, subject, row)``: but one, all have fixed lengths."""
    mine = row.int.to_bytes(16, "big")
    whose = mine if subject is row else subject.int.to_bytes(16, "big")
    return b"\0\0\0\x04hfe1\0\0\0\x08%b%b%b\0\0\0\x10%b" % (header, label, whose, mine)


def _pad(plaintext: bytes) -> bytes:
    # ISO/IEC 7816-4: 80, then zeros up to the next bucket.
    return (plaintext + b"\x80").ljust((len(plaintext) // BUCKET + 1) * BUCKET, b"\0")
