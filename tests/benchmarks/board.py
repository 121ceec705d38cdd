"""Of every goal how it stands: none is left out, and one without a figure says why."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.elsewhere import Kept
from tests.benchmarks.goals import WANTED, Goal, Wanted
from tests.benchmarks.lines import Line
from tests.benchmarks.paired import Quartiles

# Of a run, in this order.
PARTS: Final = (
    "wechat",
    "rotation",
    "finding",
    "sqlite",
    "trail",
    "desk",
    "onboarding",
    "terminals",
)
WORDS: Final = {"PASS": "green", "NOISY": "noisy", "FAIL": "missed", "": "not measured"}
NO_FIGURE: Final = "its part gave no figure"


@dataclass(frozen=True)
class Row:
    """A goal and how it stands; without a figure `note` says why."""

    id: str
    what: str
    unit: str
    goal: Goal
    found: Quartiles | None
    verdict: str
    note: str = ""
    is_kept: bool = False  # another command's figure, of another day

    @property
    def is_missed_now(self) -> bool:
        return self.verdict == "FAIL" and not self.is_kept

    def __str__(self) -> str:
        figure = f"{self.found.median:,.2f} {self.unit}" if self.found else ""
        ours, _, beside = self.what.partition(" / ")
        end = " ".join(part for part in (self.verdict, self.note) if part)
        return (
            f"{self.id:<5} {ours:<33} {beside:<25} {figure:>15}  {self.goal!s:<18} {end}".rstrip()
        )


def rows(
    lines: Sequence[Line], *, absent: Mapping[str, str], kept: Mapping[str, Kept]
) -> Iterator[Row]:
    """
    Yield a row for each goal.

    :param absent: why a part of the run is not there, by its name
    :param kept: what other commands found and left, by the id of the goal
    """
    judged: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.is_judged:
            judged[line.id].append(line)
    for wanted in WANTED:
        if of := judged[wanted.line]:
            yield _measured(wanted, of)
        elif one := kept.get(wanted.id):
            yield _kept(wanted, one)
        else:
            yield _without(wanted, absent)


def summary(shown: Sequence[Row]) -> str:
    """Return how many of each there are, and the names of all that are not green."""
    named = {
        word: [row.id for row in shown if row.verdict == verdict] for verdict, word in WORDS.items()
    }
    return ", ".join(
        f"{len(ids)} {word}" + (f" ({' '.join(ids)})" if ids and word != "green" else "")
        for word, ids in named.items()
    )


def _measured(wanted: Wanted, lines: list[Line]) -> Row:
    """Of several lines the worst counts: one page that is slow is one too many."""

    def badness(line: Line) -> tuple[int, float]:
        found = _of(wanted, line)
        worse = -found.median if wanted.goal.at_least else found.median
        return [*WORDS].index(wanted.goal.verdict(found)), worse

    worst = max(lines, key=badness)
    found = _of(wanted, worst)
    verdict = wanted.goal.verdict(found)
    said = [
        f"worst of {len(lines)}: {worst.name}" if len(lines) > 1 else "",
        worst.note,
        wanted.why if verdict == "FAIL" else "",
    ]
    note = "; ".join(filter(None, said))
    return Row(wanted.id, wanted.what, wanted.unit, wanted.goal, found, verdict, note)


def _kept(wanted: Wanted, one: Kept) -> Row:
    """What is missed is missed, however few runs there were; what is met takes all of them."""
    found = Quartiles.of([*one.figures, *one.figures])
    verdict = wanted.goal.verdict(found)
    why = wanted.why if verdict == "FAIL" else ""
    note = f"({'; '.join(filter(None, [one.by, one.at, one.note, why]))})"
    row = (wanted.id, wanted.what, wanted.unit, wanted.goal)
    if one.lacking and verdict != "FAIL":
        return Row(*row, None, "", f"not measured ({one.lacking}): {wanted.instead}")
    return Row(*row, found, verdict, note, is_kept=True)


def _without(wanted: Wanted, absent: Mapping[str, str]) -> Row:
    why = wanted.instead or absent.get(wanted.part) or ("BENCH=full" if wanted.only_full else "")
    row = (wanted.id, wanted.what, wanted.unit, wanted.goal, None)
    return Row(*row, "", why) if why else Row(*row, "FAIL", NO_FIGURE)


def _of(wanted: Wanted, line: Line) -> Quartiles:
    found = line.found
    if not wanted.inverse:
        return found
    return Quartiles(1 / found.q3, 1 / found.median, 1 / found.q1)
