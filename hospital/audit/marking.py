"""
The high-water mark: how far this notary has signed, kept apart from the database.

Who restores an older database, or removes the last lines with everything that spoke of them,
does not reach this file. It holds the last signed note, so a copy of an anchor puts it right.
"""

from dataclasses import dataclass
from pathlib import Path

from hospital import durable
from hospital.audit.checkpoint import Checkpoint, Note


class WentBack(Exception):
    """The mark is further than what it should be set to, or of the same size over another root."""


@dataclass(frozen=True)
class Mark:
    """The file at `path`."""

    path: Path

    def read(self) -> Note | None:
        """
        Return what was signed last; None if this notary has never signed.

        :raises BadNote: the file is not what was written
        """
        try:
            text = self.path.read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return None
        note = Note.parse(text)
        Checkpoint.parse(note.body)
        return note

    def advance(self, note: Note) -> None:
        """
        Remember the note, on disk when this returns.

        :raises WentBack: of this log something else, or more, is remembered already
        :raises BadNote: the file is not what was written
        """
        to, before = note.checkpoint, self.read()
        here = before.checkpoint if before else None
        if here and here.origin == to.origin and (here.size > to.size or _contradicts(here, to)):
            raise WentBack
        durable.replace(self.path, str(note).encode())


def _contradicts(one: Checkpoint, other: Checkpoint) -> bool:
    return one.size == other.size and one.root != other.root
