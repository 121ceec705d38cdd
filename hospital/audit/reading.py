"""The trail as it lies in the tables, row by row, a chunk in memory at a time."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from django.db import connection

from hospital.audit.log import Checkpoint

CHUNK: Final = 2_000  # rows held at once

_SMALLEST: Final = -(2**63)  # an id somebody chose may be negative


class Line(NamedTuple):
    """An event's row; all of it None where the event is not there."""

    id: int | None
    uid: Any
    payload: str
    mac: bytes
    at_us: int
    action: str
    outcome: str
    actor_type: str
    actor_id: str
    object_type: str
    object_id: str
    request_id: str


class Sealed(NamedTuple):
    """A leaf, with the event it is of."""

    place: int
    event_id: int
    hash: bytes
    line: Line


_EVENT = ", ".join(f"e.{column}" for column in Line._fields)
_SEALED = (
    f'SELECT l."index", l.event_id, l.hash, {_EVENT}'  # noqa: S608 (names of ours)
    " FROM audit_leaf l LEFT JOIN audit_event e ON e.id = l.event_id"
    ' WHERE l."index" >= %s AND l."index" < %s ORDER BY l."index"'
)
_PENDING = (
    f"SELECT p.event_id, {_EVENT}"  # noqa: S608
    " FROM audit_pending p LEFT JOIN audit_event e ON e.id = p.event_id"
    " WHERE p.event_id > %s ORDER BY p.event_id LIMIT %s"
)
_HIDDEN = (
    f"SELECT e.id, {_EVENT} FROM audit_event e"  # noqa: S608
    " WHERE e.id > %s AND NOT EXISTS (SELECT 1 FROM audit_leaf l"
    ' WHERE l.event_id = e.id AND l."index" >= 0)'
    " AND NOT EXISTS (SELECT 1 FROM audit_pending p WHERE p.event_id = e.id)"
    " ORDER BY e.id LIMIT %s"
)


def octets(value: object) -> bytes:
    """Return what a column of bytes holds; with SQLite it may hold anything, which is nothing."""
    return bytes(value) if isinstance(value, bytes | memoryview) else b""


def sealed(start: int, end: int) -> Iterator[list[Sealed]]:
    """Yield the leaves from `start` to before `end`, in chunks; a missing one is not among them."""
    for first in range(start, end, CHUNK):
        rows = _rows(_SEALED, [first, min(first + CHUNK, end)])
        yield [Sealed(index, pk, octets(code), Line(*rest)) for index, pk, code, *rest in rows]


def pending() -> Iterator[tuple[int, Line]]:
    """Yield what waits for its place: the event's id, and the event if it is there."""
    return _paged(_PENDING)


def hidden() -> Iterator[tuple[int, Line]]:
    """Yield events that have no place in the log and do not wait for one."""
    return _paged(_HIDDEN)


def checkpoints(*, after: int, up_to: int) -> Iterator[Checkpoint]:
    """Yield the checkpoints over more than `after` events and at most `up_to`, smallest first."""
    while page := list(
        Checkpoint.objects.filter(size__gt=after, size__lte=up_to).order_by("size")[:CHUNK]
    ):
        yield from page
        after = page[-1].size


def _paged(question: str) -> Iterator[tuple[int, Line]]:
    after = _SMALLEST
    while rows := _rows(question, [after, CHUNK]):
        for pk, *rest in rows:
            yield pk, Line(*rest)
        after = rows[-1][0]


def _rows(question: str, parameters: list[int]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(question, parameters)
        return list(cursor.fetchall())
