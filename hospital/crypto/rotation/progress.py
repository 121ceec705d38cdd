"""How far a job is, how fast it goes and when its phase will end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hospital.crypto.models import Job

_WIDTH: Final = 24  # characters of a bar


@dataclass(frozen=True)
class Progress:
    """The phase a job is in, measured since it began."""

    done: int
    total: int
    seconds: float

    @classmethod
    def of(cls, job: Job, *, at: datetime) -> "Progress":
        began = job.phase_began_at or job.created_at
        return cls(job.done, job.total, max((at - began).total_seconds(), 0.001))

    @property
    def percent(self) -> int:
        return min(100, 100 * self.done // self.total) if self.total else 0

    @property
    def rate(self) -> int:
        """Rows a second, since the phase began."""
        return round(self.done / self.seconds)

    @property
    def remaining(self) -> int | None:
        """Seconds until the end, if it goes on like this; None while nothing is known."""
        if not self.done or not self.total:
            return None
        return round(max(0, self.total - self.done) * self.seconds / self.done)

    @property
    def eta(self) -> str:
        return "" if self.remaining is None else duration(self.remaining)

    def bar(self) -> str:
        """Return the line a terminal shows."""
        full = _WIDTH * self.percent // 100
        line = f"[{'#' * full}{'.' * (_WIDTH - full)}] {self.percent:3d}%"
        line += f"  {self.done:,}/{self.total:,}  {self.rate:,} 条/秒"
        return f"{line}  剩余约 {self.eta}" if self.eta else line


def duration(seconds: int) -> str:
    """Return a length of time in words."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} 小时 {minutes} 分"
    return f"{minutes} 分 {seconds} 秒" if minutes else f"{seconds} 秒"
