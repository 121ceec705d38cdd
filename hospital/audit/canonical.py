"""
The canonical line: leaf, export line and source of the columns, all one text.

Keys sorted, no floats, integers below 2**53, UTF-8 unescaped, no spaces: for this subset
of JSON the result equals RFC 8785, so another language can rebuild it byte for byte.
"""

import json
import re
from typing import Any
from uuid import UUID

Fact = str | int | bool | list[str]

SLUG = re.compile(r"[0-9A-Za-z_.:/-]{0,128}", re.ASCII)
LARGEST = 2**53
LONGEST_REASON = 200  # characters
# What breaks a database (NUL, half a pair), a line (controls, separators of lines and paragraphs)
# or the reader's eye: what reverses or hides the direction of the text around it.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class NotAFact(ValueError):
    """A fact must be a number, a flag, or a short word; never free text."""


# Made once: `json.dumps` would make one for each line.
_ENCODER = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
)


def line(event: dict[str, Any]) -> str:
    """Return the canonical JSON text of an event made of strings, integers, lists and dicts."""
    return _ENCODER.encode(event)


def text(value: str, *, longest: int = LONGEST_REASON) -> str:
    """Cut and clean what a human typed: it can block no act, break no line, reverse no reading."""
    return _UNSAFE.sub("\ufffd", value[:longest])


def fact(value: object) -> Fact:
    """
    Return `value` as the trail may state it.

    :raises NotAFact: it is free text, or no simple value at all
    """
    match value:
        case bool():
            return value
        case int() if abs(value) < LARGEST:
            return value
        case list() | tuple() | set() | frozenset():
            return sorted(_word(str(item)) for item in value)
        case str() | UUID():
            return _word(str(value))
    raise NotAFact


def _word(value: str) -> str:
    if not SLUG.fullmatch(value):
        raise NotAFact
    return value
