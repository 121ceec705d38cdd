"""Whether a witness went along with the log, as far as its keys are known."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from hospital.audit import log, reading
from hospital.audit.checkpoint import BadNote, Note, Verifier
from hospital.audit.recording import EPOCH

UNWITNESSED: Final = timedelta(minutes=15)


class Cosigned:
    def __init__(self, verifiers: Sequence[Verifier]) -> None:
        self._verifiers = [one for one in verifiers if one.is_witness]
        self._late: dict[int, str] = {}
        if self._verifiers:
            late = log.Anchor.objects.filter(sink="witness").values_list("size", "receipt")
            self._late = {size: reading.encoded(one).decode(errors="replace") for size, one in late}
        self._has_seen = self._is_last = False
        self._when: datetime | None = None

    def see(self, note: Note) -> None:
        """Look at the note of the next checkpoint."""
        self._has_seen, self._is_last = True, False
        lines = self._late.get(note.checkpoint.size, "").splitlines(keepends=True)
        for witness in self._verifiers:
            try:
                seconds = note.with_lines(lines).verify(witness)
            except BadNote:
                continue
            self._is_last = True
            self._when = EPOCH + timedelta(seconds=seconds or 0)

    def fault(self, at: datetime) -> str:
        """Return what is wrong with the last of them, at this time; nothing if nothing is."""
        if not self._verifiers or not self._has_seen or self._is_last:
            return ""
        if self._when and at - self._when <= UNWITNESSED:
            return ""
        return "最近的检查点超过 15 分钟没有见证方签名"
