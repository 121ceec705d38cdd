"""
The trail as a stream, in the order of the log, however long it is.

With PostgreSQL by COPY over a connection of its own, in one snapshot; with SQLite by pages. Neither
holds more than a page in memory, and neither keeps anybody from writing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.db import connection

from hospital.audit.exporting import copying
from hospital.audit.exporting.selecting import Range, Selection

PAGE: Final = 2_000  # rows held at once, with SQLite
_NULL: Final = b"\\N"


class Row(NamedTuple):
    """A leaf. `payload` is None if it was not chosen, or if its event is not there."""

    place: int
    event_id: int
    hash: bytes
    payload: bytes | None


@dataclass(frozen=True)
class Extent:
    """The first and the last leaf that were chosen, and how many."""

    first: int
    last: int
    count: int


def extent(selection: Selection, *, size: int) -> Extent | None:
    """Return where the chosen leaves are among the first `size`; None if there are none."""
    if isinstance(selection, Range):
        return Extent(selection.start, selection.end - 1, selection.end - selection.start)
    condition, values = selection.condition()
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT min(l."index"), max(l."index"), count(*) FROM audit_event e'  # noqa: S608
            f' JOIN audit_leaf l ON l.event_id = e.id WHERE l."index" < %s AND {condition}',
            [size, *values],
        )
        first, last, count = cursor.fetchone()
    return Extent(first, last, count) if count else None


def rows(selection: Selection, start: int, end: int) -> Iterator[Row]:
    """Yield the leaves from `start` to before `end`, those that are stored."""
    source, values = copying.joined(selection)
    if connection.vendor == "postgresql":
        columns = "l.\"index\", l.event_id, encode(l.hash, 'hex'), e.payload"
        for line in copying.copied(f"SELECT {columns} {source}", [*values, start, end], selection):
            yield _parsed(line)
        return
    question = f'SELECT l."index", l.event_id, l.hash, e.payload {source}'
    for first in range(start, end, PAGE):
        with connection.cursor() as cursor:
            cursor.execute(question, [*values, first, min(first + PAGE, end)])
            page = cursor.fetchall()
        for place, event_id, hash_, payload in page:
            text = None if payload is None else str(payload).encode()
            yield Row(place, event_id, bytes(hash_), text)


def _parsed(line: bytes) -> Row:
    place, event_id, hash_, payload = line.rstrip(b"\n").split(b"\t", 3)
    text = None if payload == _NULL else _unescaped(payload)
    return Row(int(place), int(event_id), bytes.fromhex(hash_.decode()), text)


def _unescaped(payload: bytes) -> bytes:
    """Undo what COPY does to a text; a canonical line has backslashes and no control characters."""
    return payload.replace(b"\\\\", b"\\") if b"\\" in payload else payload
