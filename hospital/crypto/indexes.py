"""
Finding what is sealed, by a keyed digest of the whole value.

Only for values that are nearly unique: a document number, or a full name with a birth
date. A digest of a surname, a prefix, a ward or a year is read back by counting, and must
not be made.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hospital.crypto import keyring
from hospital.crypto.sealing import pack
from hospital.crypto.suites import MAC_SIZE

_DOTS: Final = str.maketrans(dict.fromkeys("•‧・．･∙⋅", "·"))
_SPACES: Final = re.compile(r"\s+")


@dataclass(frozen=True)
class Normaliser:
    """
    How spellings of one value are made one.

    The name is part of every digest: a changed rule is a new version with a new name,
    never an edit, or what was indexed before is no longer found.
    """

    name: str
    apply: Callable[[str], str]


def document_number(value: str) -> str:
    """Half width, without any space, in capitals: `11010119900307001x` ends in X."""
    return _compatible(_SPACES.sub("", _compatible(value)).upper())


def person_name(value: str) -> str:
    """Half width, single spaces, Latin letters without case, one kind of middle dot."""
    # The dots first: NFKC makes a full stop of the full-width one.
    folded = _compatible(_compatible(value.translate(_DOTS)).translate(_DOTS).casefold())
    return _SPACES.sub(" ", folded).strip()


def opaque(value: str) -> str:
    """As it is."""
    return value


DOCUMENT_NUMBER: Final = Normaliser("document_number/1", document_number)
PERSON_NAME: Final = Normaliser("person_name/1", person_name)
OPAQUE: Final = Normaliser("opaque/1", opaque)


def blind_index(
    label: str, *values: str, normaliser: Normaliser = OPAQUE, bits: int = MAC_SIZE * 4
) -> str:
    """
    Return the leftmost `bits` of the keyed digest of `values`, as lowercase hex.

    128 bits for what must be unique. One label has one key, one normaliser and one
    number of bits, everywhere.

    :raises ValueError: `bits` is not a multiple of 4 up to 256, or a value is not Unicode text
    :raises KeyUnavailable, WrongKey:
    """
    if bits % 4 or not 0 < bits <= MAC_SIZE * 8:
        raise ValueError("bits is a multiple of 4, up to 256")
    secret = keyring.index_key(label)
    parts = (_utf8(normaliser.apply(value)) for value in values)
    message = pack(b"hfe-ix", label.encode(), normaliser.name.encode(), *parts)
    return secret.algorithm.digest(secret.key, message).hex()[: bits // 4]


def _compatible(value: str) -> str:
    return unicodedata.normalize("NFKC", value)


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        # The original would carry the value.
        raise ValueError("a value to be indexed is not Unicode text") from None
