"""
What an event's row states, whoever wrote it.

These rows are evidence, and may be forged: nothing in them may stop who reads them.
"""

import hashlib
import json
from typing import Any, Final

from hospital.audit import canonical

_LONGEST: Final = 64  # characters of a name in a key


def said(payload: object) -> dict[str, Any]:
    """Return the canonical line as what it says; empty if it is none."""
    try:
        line = json.loads(payload) if isinstance(payload, str) else {}
    except (ValueError, RecursionError):
        return {}
    return line if isinstance(line, dict) else {}


def facts(payload: object) -> dict[str, Any]:
    """Return the facts a canonical line states."""
    found = said(payload).get("facts")
    return found if isinstance(found, dict) else {}


def number(value: object) -> int:
    """Return a count an event states; 0 if it is none."""
    return value if isinstance(value, int) and 0 <= value < canonical.LARGEST else 0


def name(value: object) -> str:
    """Return an id or slug as it is, and whatever else as the digest of it."""
    text = "" if value is None else str(value)
    if len(text) <= _LONGEST and canonical.SLUG.fullmatch(text):
        return text
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]
