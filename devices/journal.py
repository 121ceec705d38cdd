"""
Each terminal's last requests, for whoever mends terminals.

A request only leaves a note in this process; the notes are written together, at most once a
second, after an answer has gone. So an answer never waits for them, and a process that dies
takes its last second of notes with it: diagnostics, and nothing the trail does not have.
"""

import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from devices.models import Terminal, TerminalKey, TerminalRequest
from hospital import tracing

EVERY: Final = 1.0  # seconds between two writes
HELD: Final = 5_000  # notes; while the database is away the oldest are lost

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Note:
    """One request. Without a `terminal_id` nobody has proved to be the `key_id` it names."""

    at: datetime
    terminal_id: UUID | None
    key_id: str
    method: str
    route: str
    status: int
    code: str
    ms: int
    request_id: str


_notes: deque[Note] = deque(maxlen=HELD)
_writing = threading.Lock()
_written = 0.0  # time.monotonic()


def note(**facts: Any) -> None:
    """Note a request: the fields of `Note` but for time and request id. Costs no I/O."""
    _notes.append(Note(at=timezone.now(), request_id=tracing.current().request_id, **facts))


def flush_when_due(**_kwargs: Any) -> None:
    """Write what was noted, unless that was done within the last second or is being done."""
    if not _notes or time.monotonic() - _written < EVERY or not _writing.acquire(blocking=False):
        return
    try:
        _write()
    finally:
        _writing.release()
        if not connection.in_atomic_block:
            connection.close()  # this thread may not be asked anything for a while


def flush() -> None:
    """Write what was noted so far in this process."""
    with _writing:
        _write()


def forget() -> None:
    """Drop what was noted."""
    _notes.clear()


def _write() -> None:
    global _written  # noqa: PLW0603
    _written = time.monotonic()
    notes = [_notes.popleft() for _ in range(len(_notes))]
    try:
        with transaction.atomic():
            rows = _rows(notes)
            TerminalRequest.objects.bulk_create(rows)
        # On its own: two processes may be after the same rows, and one of them must lose.
        TerminalRequest.objects.of({row.terminal_id for row in rows}).surplus().delete()
    except DatabaseError as exc:
        log.warning("requests_not_noted", count=len(notes), exc_info=exc)


def _rows(notes: list[Note]) -> list[TerminalRequest]:
    """Return the newest of each terminal that is known."""
    named = {note.key_id for note in notes if note.key_id}
    owners = dict(TerminalKey.objects.filter(pk__in=named).values_list("pk", "terminal_id"))
    owned = [(note, note.terminal_id or owners.get(note.key_id)) for note in notes]
    ids = {terminal for _, terminal in owned if terminal}
    known = set(Terminal.objects.filter(pk__in=ids).values_list("pk", flat=True))
    rows: dict[tuple[UUID, bool], deque[TerminalRequest]] = {}
    for note, terminal in owned:
        if terminal in known:
            is_unproven = note.status == TerminalRequest.NOT_THE_TERMINAL
            most = TerminalRequest.UNPROVEN if is_unproven else TerminalRequest.KEPT
            newest = rows.setdefault((terminal, is_unproven), deque(maxlen=most))
            newest.append(_row(note, terminal))
    return [row for newest in rows.values() for row in newest]


def _row(note: Note, terminal: UUID) -> TerminalRequest:
    facts = {name: value for name, value in vars(note).items() if name != "key_id"}
    return TerminalRequest(**{**facts, "terminal_id": terminal})
