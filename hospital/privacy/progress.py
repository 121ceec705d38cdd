"""How far a sweep is, in the numbers its run keeps."""

from dataclasses import dataclass
from typing import Final

from hospital.categories import CATEGORIES
from hospital.privacy.models import RetentionRun

_WIDTH: Final = 24  # characters of a bar


@dataclass(frozen=True)
class Line:
    """One category of a run."""

    label: str
    due: int
    gone: int
    held: int
    refused: str


def lines(run: RetentionRun) -> list[Line]:
    """Return what a run says of each category, in the order of the categories."""
    return [
        Line(one.label, count["due"], count["gone"], count["held"], count.get("refused", ""))
        for one in CATEGORIES
        if (count := run.counts.get(one.key))
    ]


def percent(run: RetentionRun) -> int:
    """Return how much of what was due is gone; all of it where nothing was, or it is over."""
    due, gone = _sums(run)
    if run.state != RetentionRun.State.RUNNING or not due:
        return 100
    return min(100, 100 * gone // due)


def bar(run: RetentionRun) -> str:
    """Return the line a terminal shows."""
    done = percent(run)
    full = _WIDTH * done // 100
    due, gone = _sums(run)
    return f"[{'#' * full}{'.' * (_WIDTH - full)}] {done:3d}%  {gone:,}/{due:,}"


def _sums(run: RetentionRun) -> tuple[int, int]:
    counts = run.counts.values()
    return sum(int(one["due"]) for one in counts), sum(int(one["gone"]) for one in counts)
