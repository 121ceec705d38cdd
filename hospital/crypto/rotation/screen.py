"""A job as whoever started it sees it: one moving line, or in a log a line now and then."""

import time
from typing import Final, Protocol

from django.utils import timezone

from hospital.crypto.rotation.catalogue import phase_of
from hospital.crypto.rotation.jobs import Run
from hospital.crypto.rotation.progress import Progress

_EVERY: Final = 5.0  # seconds between two lines of a log
_MOVING: Final = 0.1  # seconds between two pictures of a bar


class Out(Protocol):
    """What a command writes to."""

    def isatty(self) -> bool: ...

    def write(self, msg: str = "", *, ending: str | None = None) -> object: ...

    def flush(self) -> None: ...


class Screen:
    """Told of every step, it shows as many as somebody can read."""

    def __init__(self, out: Out) -> None:
        self._out = out
        self._is_live = out.isatty()
        self._shown = ""  # which phase
        self._at = 0.0

    def __call__(self, run: Run, waiting_for: str) -> None:
        now, phase = time.monotonic(), run.job.phase
        is_over = 0 < run.job.total <= run.job.done
        if phase == self._shown and not is_over:
            if now - self._at < (_MOVING if self._is_live else _EVERY):
                return
        elif phase != self._shown:
            self._end_line()
        self._shown, self._at = phase, now
        what = waiting_for or Progress.of(run.job, at=timezone.now()).bar()
        line = f"{phase_of(run.job)}  {what}"
        if self._is_live:
            self._out.write(f"\r\x1b[K{line}", ending="")
        else:
            self._out.write(line)
        self._out.flush()

    def close(self) -> None:
        """Leave the moving line as it is."""
        self._end_line()
        self._shown = ""

    def _end_line(self) -> None:
        if self._is_live and self._shown:
            self._out.write()
