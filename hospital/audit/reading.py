"""
The trail as it lies in the tables, row by row, a chunk in memory at a time.

Page by page along a key: a number that somebody chose is compared with, never counted up to. With
SQLite a column may hold anything, so nothing here believes a type.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.db import connection
from django.utils.dateparse import parse_datetime

CHUNK: Final = 2_000  # rows held at once

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1  # an id somebody chose may be negative


class Line(NamedTuple):
    """An event's row, of whatever types; all of it None where the event is not there."""

    id: int | None
    uid: Any
    payload: Any
    mac: Any
    at_us: Any
    action: Any
    outcome: Any
    actor_type: Any
    actor_id: Any
    object_type: Any
    object_id: Any
    request_id: Any


class Sealed(NamedTuple):
    """A leaf, with the event it is of."""

    place: int
    event_id: Any  # with SQLite it may be no number
    hash: bytes
    line: Line


class Signed(NamedTuple):
    """A checkpoint's row, whatever it says."""

    size: int
    root: bytes
    note: str
    created_at: datetime | None


_EVENT = ", ".join(f"e.{column}" for column in Line._fields)
_SEALED = (
    f'SELECT l."index", l.event_id, l.hash, {_EVENT}'  # noqa: S608 (names of ours)
    " FROM audit_leaf l LEFT JOIN audit_event e ON e.id = l.event_id"
    ' WHERE l."index" > %s AND l."index" <= %s ORDER BY l."index" LIMIT %s'
)
_PENDING = (
    f"SELECT p.event_id, {_EVENT}"  # noqa: S608
    " FROM audit_pending p LEFT JOIN audit_event e ON e.id = p.event_id"
    " WHERE p.event_id > %s AND p.event_id <= %s ORDER BY p.event_id LIMIT %s"
)
_HIDDEN = (
    f"SELECT e.id, {_EVENT} FROM audit_event e"  # noqa: S608
    " WHERE e.id > %s AND e.id <= %s AND NOT EXISTS (SELECT 1 FROM audit_leaf l"
    f' WHERE l.event_id = e.id AND l."index" >= 0 AND l."index" <= {_LARGEST})'
    " AND NOT EXISTS (SELECT 1 FROM audit_pending p WHERE p.event_id = e.id)"
    " ORDER BY e.id LIMIT %s"
)
# In their order, by the index of the events about an object.
_ABOUT = (
    f'SELECT l."index", l.event_id, l.hash, {_EVENT}'  # noqa: S608
    " FROM audit_event e JOIN audit_leaf l ON l.event_id = e.id"
    ' WHERE l."index" > %s AND l."index" <= %s AND e.object_type = %s AND e.object_id = %s'
    ' ORDER BY l."index" LIMIT %s'
)
_CHECKPOINTS = (
    "SELECT size, root, note, {created_at} FROM audit_checkpoint"
    " WHERE size > %s AND size <= %s ORDER BY size LIMIT %s"
)
# What is no time, or infinite, would end the reading.
_TIME = {
    "postgresql": "CASE WHEN {0} BETWEEN '1970-01-01 Z' AND '9999-01-01 Z' THEN {0} END",
    "sqlite": "CAST({0} AS TEXT)",
}
_RECEIPTS = (
    "SELECT id, size, receipt FROM audit_anchor"
    " WHERE id > %s AND id <= %s AND sink = %s AND size >= %s ORDER BY id LIMIT %s"
)
_NEWEST = (
    "SELECT {at} FROM audit_anchor"
    " WHERE sink = %s AND at <= %s ORDER BY audit_anchor.at DESC LIMIT %s"
)
# Rows that can be no anchor of ours.
_STRANGE = {
    "postgresql": (
        "SELECT id FROM audit_anchor"
        " WHERE at NOT BETWEEN '1970-01-01 Z' AND '9999-01-01 Z' ORDER BY id"
    ),
    "sqlite": (
        "SELECT id FROM audit_anchor WHERE typeof(size) <> 'integer' OR typeof(sink) <> 'text'"
        " OR typeof(receipt) <> 'text' OR typeof(at) <> 'text' OR datetime(at) IS NULL ORDER BY id"
    ),
}


def octets(value: object) -> bytes:
    """Return what a column of bytes holds; with SQLite it may hold anything, which is nothing."""
    return bytes(value) if isinstance(value, bytes | memoryview) else b""


def encoded(text: object) -> bytes:
    """Return the bytes of a column of text as they are stored."""
    return text.encode(errors="surrogateescape") if isinstance(text, str) else octets(text)


def last() -> int:
    """Return the place of the last leaf, wherever it is; -1 if there is none."""
    [(index,)] = rows('SELECT max("index") FROM audit_leaf WHERE "index" <= %s', [_LARGEST])
    return -1 if index is None else int(index)


def sealed(*, start: int, last: int) -> Iterator[list[Sealed]]:
    """Yield the leaves from `start` to `last`, in chunks; a missing one is not among them."""
    for page in _pages(_SEALED, after=start - 1, up_to=last):
        yield [Sealed(place, pk, octets(code), Line(*rest)) for place, pk, code, *rest in page]


def pending() -> Iterator[tuple[int, Line]]:
    """Yield what waits for its place: the event's id, and the event if it is there."""
    for page in _pages(_PENDING):
        yield from ((pk, Line(*rest)) for pk, *rest in page)


def hidden() -> Iterator[tuple[int, Line]]:
    """Yield events that have no place in the log and do not wait for one."""
    for page in _pages(_HIDDEN):
        yield from ((pk, Line(*rest)) for pk, *rest in page)


def checkpoints(*, after: int, up_to: int) -> Iterator[Signed]:
    """Yield the checkpoints over more than `after` events and at most `up_to`, smallest first."""
    question = _CHECKPOINTS.format(created_at=_time("created_at"))
    for page in _pages(question, after=after, up_to=up_to):
        for size, root, note, created_at in page:
            yield Signed(
                size, octets(root), encoded(note).decode(errors="replace"), _at(created_at)
            )


def about(object_type: str, object_id: str) -> Iterator[Sealed]:
    """Yield the sealed events about an object, in their order."""
    for page in _pages(_ABOUT, object_type, object_id, after=-1):
        for place, pk, code, *rest in page:
            yield Sealed(place, pk, octets(code), Line(*rest))


def receipts(sink: str, *, since: int = 0) -> Iterator[tuple[int, str]]:
    """Yield size and receipt of what went there, of `since` events or more."""
    for page in _pages(_RECEIPTS, sink, since):
        for _, size, receipt in page:
            if isinstance(size, int):
                yield size, encoded(receipt).decode(errors="replace")


def anchored_at(sink: str, *, until: datetime) -> datetime | None:
    """Return when something last went there, until then; None if a time says nothing."""
    given = until if connection.vendor == "postgresql" else until.astimezone(UTC).isoformat(" ")
    question = _NEWEST.format(at=_time("at"))
    found = (_at(stored) for (stored,) in rows(question, [sink, given, CHUNK]))
    return next((at for at in found if at is not None and at <= until), None)


def strange_anchors() -> list[int]:
    """Return the ids of anchors whose columns hold what they cannot."""
    return [pk for (pk,) in rows(_STRANGE[connection.vendor], [])]


def rows(question: str, parameters: list[Any]) -> list[tuple[Any, ...]]:
    """Return what a question of SQL is answered; a text that is no UTF-8 does not end it."""
    with connection.cursor() as cursor, any_text():
        cursor.execute(question, parameters)
        return list(cursor.fetchall())


def _pages(
    question: str, *given: Any, after: int = _SMALLEST, up_to: int = _LARGEST
) -> Iterator[list[tuple[Any, ...]]]:
    while page := rows(question, [after, up_to, *given, CHUNK]):
        yield page
        after = page[-1][0]


@contextmanager
def any_text() -> Iterator[None]:
    """Let a text that is no UTF-8 be read, which SQLite may store: what is none is escaped."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    before = connection.connection.text_factory
    connection.connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
    try:
        yield
    finally:
        connection.connection.text_factory = before


def _time(column: str) -> str:
    return _TIME[connection.vendor].format(column)


def _at(stored: object) -> datetime | None:
    if isinstance(stored, datetime):
        return stored
    try:
        said = parse_datetime(stored) if isinstance(stored, str) else None
    except ValueError:
        return None
    return said.replace(tzinfo=UTC) if said and said.tzinfo is None else said
