"""
Others who are asked for something over a checkpoint: each in a thread of its own.

Nothing is sealed later because one of them is slow, and what was not answered when the process
ends is asked again by the next.
"""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol

import structlog

from hospital.audit.checkpoint import Note

ALARMED: Final = timedelta(minutes=15)  # without an answer
SILENT: Final = 30.0  # seconds without an answer or an excuse: as if it were away

logger = structlog.get_logger(__name__)


class Away(Exception):
    """It gave no receipt, or one that says something else; the text, a word, says why."""


class BadReceipt(Exception):
    """It is not what it has to be: over another note, by somebody else, or no receipt at all."""


class Sink(Protocol):
    """Where a checkpoint goes."""

    @property
    def name(self) -> str:
        """What `Anchor.sink` says."""

    def anchor(self, note: Note, *, now: datetime) -> str:
        """
        Return a receipt for a note, verified.

        :raises Away: there is none for now
        """


class Receipt(NamedTuple):
    size: int
    sink: str
    text: str


@dataclass
class _Errand:
    thread: threading.Thread
    began: float  # of the clock that nobody sets back
    is_missed: bool = False

    def is_silent(self) -> bool:
        return self.thread.is_alive() and time.monotonic() - self.began > SILENT


class Errands:
    """Takes notes to the sinks, and brings their receipts to whoever asks."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks
        self._brought: queue.SimpleQueue[tuple[str, int, str | Exception]] = queue.SimpleQueue()
        self._under_way: dict[str, _Errand] = {}
        self._sizes: dict[str, int] = {}  # the largest each sink gave a receipt for
        self._away_since: dict[str, datetime] = {}
        self._alarmed: set[str] = set()

    def start(self, note: Note, *, now: datetime) -> None:
        """Take a note to every sink that has not given a receipt for it and is not asked now."""
        size = note.checkpoint.size
        for sink in self._sinks:
            running = self._under_way.get(sink.name)
            if size <= self._sizes.get(sink.name, 0) or (running and running.thread.is_alive()):
                continue
            thread = threading.Thread(target=self._run, args=(sink, note, size, now), daemon=True)
            self._under_way[sink.name] = _Errand(thread, time.monotonic())
            thread.start()

    def wait(self, seconds: float) -> None:
        """Give those that are asked now so much time to answer."""
        until = time.monotonic() + seconds
        for errand in self._under_way.values():
            errand.thread.join(max(0.0, until - time.monotonic()))

    def collect(self, *, now: datetime) -> Iterator[Receipt]:
        """Yield the receipts that came since the last time, without waiting."""
        while not self._brought.empty():
            sink, size, brought = self._brought.get()
            if isinstance(brought, Exception):
                self._miss(sink, brought, now)
                continue
            self._away_since.pop(sink, None)
            self._alarmed.discard(sink)
            self._sizes[sink] = max(size, self._sizes.get(sink, 0))
            yield Receipt(size, sink, brought)
        for sink, errand in self._under_way.items():
            if errand.is_silent():
                self._miss_silent(sink, errand, now)

    def _run(self, sink: Sink, note: Note, size: int, now: datetime) -> None:
        try:
            self._brought.put((sink.name, size, sink.anchor(note, now=now)))
        except Exception as exc:  # noqa: BLE001 (told by the thread that collects)
            self._brought.put((sink.name, size, exc))

    def _miss(self, sink: str, exc: Exception, now: datetime) -> None:
        if isinstance(exc, Away):
            logger.warning("notary.sink_away", sink=sink, reason=str(exc))
        else:
            logger.error("notary.sink_broken", sink=sink, exc_info=exc)
        self._alarm(sink, now)

    def _miss_silent(self, sink: str, errand: _Errand, now: datetime) -> None:
        """Note one that neither answers nor ends; another is sent only after it has ended."""
        if not errand.is_missed:
            errand.is_missed = True
            logger.warning("notary.sink_away", sink=sink, reason="silent")
        self._alarm(sink, now)

    def _alarm(self, sink: str, now: datetime) -> None:
        away = now - self._away_since.setdefault(sink, now)
        if away >= ALARMED and sink not in self._alarmed:
            self._alarmed.add(sink)
            logger.error("notary.unanchored", sink=sink, seconds=int(away.total_seconds()))
