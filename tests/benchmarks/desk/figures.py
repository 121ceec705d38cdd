"""How long each page of the desk takes among as many patients as a hospital group has."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

from hospital.demo.installation import ROOT
from tests.benchmarks.lines import Goal, Line
from tests.benchmarks.paired import Quartiles
from tests.benchmarks.servers import CACHE, Services
from tests.house import postgresql

FEW: Final = (3_000, 3_000)  # patients, visits
MANY: Final = {"quick": (50_000, 10_000), "full": (1_000_000, 200_000)}
TIMES: Final = {"quick": 15, "full": 40}  # each page

SHOWN: Final = Goal(300)  # milliseconds
NONE: Final = Goal(0)


def lines(profile: str, on: Services) -> Iterator[Line]:
    """Measure every page; yield each line as soon as it is known."""
    few = _asked(on, *FEW, times=3)
    many = _asked(on, *MANY[profile], times=TIMES[profile])
    among = f"{MANY[profile][0]:,} patients, PostgreSQL"
    for name, found in many.items():
        p50, p95 = statistics.median(found["ms"]), _p95(found["ms"])
        how = f"p95, p50 {p50:.0f}, {found['statements']} statements, {among}"
        yield _one("D1", f"ms: {name}", p95, SHOWN, how)
    more = [name for name in few if many[name]["statements"] > few[name]["statements"]]
    counting = [name for name, found in many.items() if found["counting"]]
    yield _of("D2", "pages with more statements", more, among)
    yield _of("D3", "pages that count a table", counting, among)


def _asked(on: Services, patients: int, sessions: int, *, times: int) -> Any:
    with postgresql(on.postgresql) as url:
        asking = ("tests.benchmarks.desk.asking", url, f"{on.redis}/{CACHE}")
        sizes = map(str, (patients, sessions, times))
        ended = subprocess.run(
            [sys.executable, "-m", *asking, *sizes],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return json.loads(ended.stdout)


def _p95(took: list[float]) -> float:
    return statistics.quantiles(took, n=20, method="inclusive")[-1]


def _of(name_id: str, name: str, pages: list[str], among: str) -> Line:
    return _one(name_id, name, len(pages), NONE, f"{', '.join(pages) or 'none'}; {among}")


def _one(name_id: str, name: str, found: float, goal: Goal, how: str) -> Line:
    return Line(name_id, name, Quartiles(found, found, found), goal, how)
