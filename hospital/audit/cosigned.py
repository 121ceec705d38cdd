"""Whether a witness went along with the log, as far as its keys are known."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from hospital.audit import lines, reading
from hospital.audit.checkpoint import BadNote, Note, Verifier
from hospital.audit.times import EPOCH

UNWITNESSED: Final = timedelta(minutes=15)


_AT_ONCE: Final = 1000  # notes held in memory
_LATEST: Final = 10**11  # seconds: in the year 5138; a witness may sign any time


class Late:
    """What a witness signed when the checkpoint was stored already."""

    def __init__(self, *, since: int = 0) -> None:
        """Read what there is over `since` events or more."""
        self._lines: dict[int, list[str]] = {}
        for size, receipt in reading.receipts("witness", since=since):
            self._lines.setdefault(size, []).extend(receipt.splitlines(keepends=True))

    def with_each(self, note: Note) -> Iterator[Note]:
        """Yield the note as it is, and with each later signature alone: one may be forged."""
        yield note
        for line in self._lines.get(note.checkpoint.size, ()):
            yield Note(note.body, (line,))


class Cosigned:
    """
    Looks from the last checkpoint back: of all that a witness signed, the latest one counts.

    What it signed before says nothing more, and each signature looked at costs as much as a
    thousand comparisons.
    """

    def __init__(self, verifiers: Sequence[Verifier], *, since: int = 0) -> None:
        """:param since: checkpoints over fewer events are not asked about"""
        self._verifiers = [one for one in verifiers if one.is_witness]
        self._late = Late(since=since) if self._verifiers else None
        self._ahead: list[str] = []  # not looked at yet
        self._has_seen = self._is_last = False
        self._when: datetime | None = None

    def see(self, note: str) -> None:
        """Take the text of the next checkpoint's note."""
        self._has_seen = True
        self._ahead.append(note)
        if len(self._ahead) == _AT_ONCE:
            self._look()

    def fault(self, at: datetime) -> str:
        """Return what is wrong with the last of them, at this time; nothing if nothing is."""
        if not self._verifiers or not self._has_seen:
            return ""
        self._look()
        if self._when and self._when > at + lines.SKEW:
            return "见证方签名的时间在将来"
        if self._is_last or (self._when and at - self._when <= UNWITNESSED):
            return ""
        return "最近的检查点超过 15 分钟没有见证方签名"

    def _look(self) -> None:
        """Find the latest that a witness signed among those ahead, and forget them all."""
        for place, note in enumerate(reversed(self._ahead)):
            self._is_last = False
            if (when := self._signed_at(note)) is not None:
                self._is_last, self._when = place == 0, when
                break
        self._ahead.clear()

    def _signed_at(self, text: str) -> datetime | None:
        when = None
        for signed in self._notes(text):
            for witness in self._verifiers:
                with suppress(BadNote):
                    seconds = signed.verify(witness) or 0
                    when = EPOCH + timedelta(seconds=min(seconds, _LATEST))
        return when

    def _notes(self, text: str) -> Iterator[Note]:
        if self._late is None:
            return
        with suppress(BadNote):
            yield from self._late.with_each(Note.parse(text))
