"""
Anchors: notes that were written where the database's owner does not reach.

A file of them is notes one after the other, an empty line in between. Whoever keeps a copy, or
prints its last lines, can show later what the log was.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from hospital import durable
from hospital.audit.checkpoint import Note

# Found one by one: a note that was cut off by a crash spoils no other.
_NOTE = re.compile(r"^[^\n]+\n[0-9]+\n[A-Za-z0-9+/=]+\n\n(?:— [^\n]+\n)+", re.MULTILINE)


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


def notes(text: str) -> list[Note]:
    """
    Return the notes in a text, in its order.

    :raises BadNote: one is none
    """
    return [Note.parse(found[0]) for found in _NOTE.finditer(text)]
