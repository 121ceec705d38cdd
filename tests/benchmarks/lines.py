"""One metric as it is printed, and as it goes into the file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from tests.benchmarks.goals import Goal, goal_of
from tests.benchmarks.paired import Quartiles


@dataclass(frozen=True)
class Line:
    """
    One figure. Its goal is the list's.

    :ivar name: of a ratio, what it is of and what stands beside it, with a stroke between
    :ivar how: which clock, how many rounds, where
    :ivar unit: "×" is how many times the peer's
    :ivar note: what the board has to say beside the verdict
    :ivar is_judged: whether this is where the goal is set
    """

    id: str
    name: str
    found: Quartiles
    how: str
    unit: str = "×"
    note: str = ""
    is_judged: bool = True

    @classmethod
    def one(
        cls, name_id: str, name: str, found: float, how: str, *, unit: str, note: str = ""
    ) -> Self:
        """Return a figure there is but one of."""
        return cls(name_id, name, Quartiles(found, found, found), how, unit, note)

    @property
    def goal(self) -> Goal | None:
        return goal_of(self.id) if self.is_judged else None

    @property
    def verdict(self) -> str:
        return self.goal.verdict(self.found) if self.goal else ""

    def __str__(self) -> str:
        spread = f"[{self.found.q1:.2f}..{self.found.q3:.2f}]"
        figure = f"{self.found.median:.2f} {self.unit}"
        return (
            f"{self.id:<5} {self.name:<32} {figure:<12} {spread:<19} "
            f"{self.goal or ''!s:<15} {self.verdict:<6} ({self.how})"
        )


def printed(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        print(line, flush=True)
        yield line


def fewer(rows: int, *, of: str = "patients", goal: int = 1_000_000) -> str:
    """Return what to say of a figure whose goal is about more rows than there were, or ""."""
    return f"among {rows:,} {of}, not {goal:,}" if rows < goal else ""
