"""
Anchors: notes that were written where the database's owner does not reach.

A file of them is notes one after the other, an empty line in between. Whoever keeps a copy, or
prints its last lines, can show later what the log was.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from hospital import durable
from hospital.audit.checkpoint import BadNote, Note

# Found one by one: a note that was cut off by a crash spoils no other.
_NOTE = re.compile(r"^[^\n]+\n[0-9]+\n[A-Za-z0-9+/=]+\n\n(?:— [^\n]+\n)+", re.MULTILINE)
_SHORTEST: Final = 4 + 64  # bytes of a signature: whose key it is, and Ed25519's


class Anchors(NamedTuple):
    """What a text holds: notes in its order, and how many pieces are none, or no longer."""

    notes: list[Note]
    unreadable: int


@dataclass(frozen=True)
class AnchorFile:
    """The file at `path`, only ever appended to: let the file system or the volume see to that."""

    path: Path

    def add(self, note: Note) -> None:
        """
        Append a note, on disk when this returns.

        :raises OSError: there is no room for it, or no right
        """
        durable.append(self.path, f"\n{note}".encode())


def read(text: str) -> Anchors:
    """Return what a text holds. A power cut may have torn any of its notes."""
    found, torn = [], len([one for one in _NOTE.sub("\n\n", text).split("\n\n") if one.strip()])
    for match in _NOTE.finditer(text):
        note = _whole(match[0])
        if note:
            found.append(note)
        else:
            torn += 1
    return Anchors(found, torn)


def _whole(text: str) -> Note | None:
    """Return the note without signatures that were cut off; None if nothing is left of it."""
    try:
        note = Note.parse(text)
        lines = tuple(line for line in note.signatures if _is_whole(line))
        _ = note.checkpoint
    except BadNote:
        return None
    return Note(note.body, lines) if lines else None


def _is_whole(line: str) -> bool:
    try:
        signature = base64.b64decode(line.rsplit(maxsplit=1)[-1], validate=True)
    except binascii.Error:
        return False
    return len(signature) >= _SHORTEST
