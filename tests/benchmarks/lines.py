"""One metric as it is printed, and as it goes into the file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tests.benchmarks.paired import Quartiles


@dataclass(frozen=True)
class Goal:
    """What a figure must reach, or stay within."""

    figure: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"goal{'>' if self.at_least else '<'}={self.figure:.2f}"

    def verdict(self, found: Quartiles) -> str:
        """PASS or FAIL where three quarters of the rounds agree, else NOISY."""
        if self.at_least:
            met, missed = found.q1 >= self.figure, found.q3 < self.figure
        else:
            met, missed = found.q3 <= self.figure, found.q1 > self.figure
        return "PASS" if met else "FAIL" if missed else "NOISY"


@dataclass(frozen=True)
class Line:
    id: str
    name: str
    found: Quartiles
    goal: Goal | None
    how: str

    @property
    def verdict(self) -> str:
        return self.goal.verdict(self.found) if self.goal else ""

    def __str__(self) -> str:
        spread = f"[{self.found.q1:.2f}..{self.found.q3:.2f}]"
        return (
            f"{self.id:<4} {self.name:<28} {self.found.median:6.2f} {spread:<15} "
            f"{self.goal or ''!s:<11} {self.verdict:<6} ({self.how})"
        )


def printed(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        print(line, flush=True)
        yield line
