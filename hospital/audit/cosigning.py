"""How far a witness has gone along with the log, by what the checkpoints themselves bear."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Q

from hospital.audit import log, reading
from hospital.audit.checkpoint import BadNote, Note, Verifier

# Their times are not needed, and somebody may have put one there that no calendar has.
_CHECKPOINTS: Final = log.Checkpoint.objects.defer("created_at")
_ANCHORS: Final = log.Anchor.objects.defer("at")
# What this process has read already: checkpoints are only ever added. By the witnesses' keys.
_known: dict[tuple[str, ...], "_Read"] = {}


@dataclass(frozen=True)
class _Read:
    """Up to the checkpoint over `size` events, with this root, `cosigned` is the last cosigned."""

    size: int
    root: bytes
    cosigned: int


def last(witnesses: Sequence[Verifier]) -> int:
    """
    Return the size of the last checkpoint whose own note one of these has signed; 0 if none.

    The first time it may have to look at all of them, later at those that are new.
    """
    newest = _CHECKPOINTS.order_by("-size").first()
    if newest is None:
        return 0
    keys = tuple(sorted(map(str, witnesses)))
    read = _known.get(keys)
    there = _CHECKPOINTS.filter(size=read.size).first() if read else None
    if not read or not there or reading.octets(there.root) != read.root:
        read = _Read(0, b"", 0)
    names = Q()
    for witness in witnesses:
        names |= Q(note__contains=f"\n— {witness.name} ")
    new = _CHECKPOINTS.filter(names, size__gt=read.size, size__lte=newest.size)
    signed = (row.size for row in new.order_by("-size").iterator() if _is_signed(row, witnesses))
    found = next(signed, read.cosigned)
    _known[keys] = _Read(newest.size, reading.octets(newest.root), found)
    return found


def last_late(witnesses: Sequence[Verifier], *, after: int) -> int:
    """Return the largest size above `after` that one of these signed later; `after` if none is."""
    late = _ANCHORS.filter(sink="witness", size__gt=after).order_by("-size")
    for anchor in late.iterator():
        row = _CHECKPOINTS.filter(size=anchor.size).first()
        if row and any(_is_signed_by(row, line, witnesses) for line in _lines(anchor)):
            return int(anchor.size)
    return after


def _lines(anchor: log.Anchor) -> list[str]:
    return anchor.receipt.splitlines(keepends=True)


def _is_signed_by(row: log.Checkpoint, line: str, witnesses: Sequence[Verifier]) -> bool:
    try:
        note = Note(Note.parse(row.note).body, (line,))
    except BadNote:
        return False
    return any(map(note.is_signed_by, witnesses))


def _is_signed(row: log.Checkpoint, witnesses: Sequence[Verifier]) -> bool:
    try:
        note = Note.parse(row.note)
    except BadNote:
        return False
    return any(map(note.is_signed_by, witnesses))
