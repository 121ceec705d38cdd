"""How long each page of the desk takes among as many patients as a hospital group has."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from hospital.demo.installation import ROOT
from tests.benchmarks.lines import Line, fewer
from tests.benchmarks.paired import Quartiles
from tests.benchmarks.servers import CACHE, Services
from tests.house import postgresql

# Patients, visits. Of these one in a hundred failed, and a page of them has to be full as well.
FEW: Final = (3_000, 12_000)
MANY: Final = {"quick": (50_000, 40_000), "full": (1_000_000, 200_000)}
BLOCKS: Final = {"quick": 7, "full": 9}  # twice as many where that does not show it
TIMES: Final = {"quick": 4, "full": 20}  # each page, in a block
CACHE_OF_FEW: Final = CACHE - 1  # Redis database


@dataclass
class Desk:
    """One hospital's desk, and how many milliseconds each page took, time after time."""

    process: "subprocess.Popen[str]"
    counts: dict[str, Any] = field(default_factory=dict)
    turns: list[dict[str, float]] = field(default_factory=list)

    def ask(self) -> None:
        """Ask for every page once."""
        assert self.process.stdin
        self.process.stdin.write("ask\n")
        self.process.stdin.flush()
        self.turns.append(self.answer())

    def answer(self) -> Any:
        assert self.process.stdout
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("the desk ended")
        return json.loads(answer)

    def took(self, page: str) -> list[float]:
        return [turn[page] for turn in self.turns]


def lines(profile: str, on: Services) -> Iterator[Line]:
    """Measure every page; yield each line as soon as it is known."""
    blocks, times = BLOCKS[profile], TIMES[profile]
    patients, sessions = MANY[profile]
    among, note = f"{patients:,} patients, PostgreSQL", fewer(patients)
    with (
        _open(on, patients, sessions, blocks * times, cache=CACHE) as many,  # takes longer
        _open(on, *FEW, blocks * times, cache=CACHE_OF_FEW) as few,
    ):
        _in_turns(few, many, blocks * times)
        grown = [*_grown(few, many, times, among=among, note=note)]
        if any(line.verdict != "PASS" for line in grown):  # of so many pages one is, by chance
            _in_turns(few, many, blocks * times)
            grown = [*_grown(few, many, times, among=among, note=note)]
    for page, found in many.counts.items():
        took = many.took(page)
        how = f"p95, p50 {statistics.median(took):.0f}, {found['statements']} statements, {among}"
        yield Line.one("D1", page, _p95(took), how, unit="ms", note=note)
    yield from grown
    more = [
        page
        for page, found in many.counts.items()
        if found["statements"] > few.counts[page]["statements"]
    ]
    yield _of("D2", "pages with more statements", more, among)
    counting = [page for page, found in many.counts.items() if found["counting"]]
    yield _of("D3", "pages that count a table", counting, among)


def _in_turns(few: Desk, many: Desk, times: int) -> None:
    for number in range(times):
        for desk in (few, many) if number % 2 else (many, few):
            desk.ask()


def _grown(few: Desk, many: Desk, times: int, *, among: str, note: str) -> Iterator[Line]:
    """Return a line for each page: of its times, block by block, p95 ÷ p95."""
    for page in many.counts:
        pairs = zip(_p95s(many.took(page), times), _p95s(few.took(page), times), strict=True)
        ratios = Quartiles.of([one / other for one, other in pairs])
        how = f"p95 of {times}, {len(many.turns) // times} of them, {among}"
        yield Line("D4", page, ratios, how, note=note)


def _p95s(took: list[float], times: int) -> list[float]:
    return [_p95(took[start : start + times]) for start in range(0, len(took), times)]


@contextmanager
def _open(on: Services, patients: int, sessions: int, times: int, *, cache: int) -> Iterator[Desk]:
    with (
        postgresql(on.postgresql) as url,
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.benchmarks.desk.asking", url, f"{on.redis}/{cache}"),
                *map(str, (patients, sessions, times)),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        desk = Desk(process)
        desk.counts = desk.answer()
        yield desk


def _p95(took: list[float]) -> float:
    return statistics.quantiles(took, n=20, method="inclusive")[-1]


def _of(name_id: str, name: str, pages: list[str], among: str) -> Line:
    how = f"{', '.join(pages) or 'none'}; {among}"
    return Line.one(name_id, name, len(pages), how, unit="", note=", ".join(pages))
