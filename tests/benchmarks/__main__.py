"""
What a query of WeChat costs, as ratios to the work nobody can avoid: `make bench`.

Ends with 1 if a goal was missed in three quarters of the rounds, else with 0: a noisy machine
proves nothing either way.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import cases
from tests.benchmarks.cases import CASES, THREADS, Case, Ratio
from tests.benchmarks.paired import Rounds, measure

ROUNDS = {"quick": 15, "full": 45}
RSA_OPERATIONS = 4  # sign, verify, decrypt twice
LIBRARIES = ("cryptography", "httpx", "requests", "wechatpayv3")


@dataclass(frozen=True)
class Line:
    """One metric as it is printed, and as it goes into the file."""

    id: str
    name: str
    median: float
    q1: float
    q3: float
    goal: float | None
    verdict: str
    how: str

    def __str__(self) -> str:
        goal = f"goal<={self.goal:.2f}" if self.goal is not None else ""
        spread = f"[{self.q1:.2f}..{self.q3:.2f}]"
        return (
            f"{self.id:<4} {self.name:<28} {self.median:6.2f} {spread:<15} {goal:<11} "
            f"{self.verdict:<6} ({self.how})"
        )


def main() -> int:
    asked = _arguments()
    os.environ["NO_PROXY"] = "127.0.0.1"  # requests and urllib believe the environment
    began, lines, costs = _ticks(), [], {}
    for case in CASES:
        rounds = _measured(case, rounds=ROUNDS[asked.profile])
        costs |= {name: rounds.microseconds(name) / case.calls for name in rounds.seconds}
        lines += _printed(_line(ratio, rounds) for ratio in case.ratios)
    lines += _printed(_counts())
    machine = {**_machine(), "steal_percent": _steal(began, _ticks())}
    print("µs of CPU:", "; ".join(f"{name} {cost:.0f}" for name, cost in costs.items()))
    print("; ".join(f"{name} {value}" for name, value in machine.items()))
    if asked.json:
        report = {"machine": machine, "lines": [asdict(line) for line in lines], "cpu_us": costs}
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if any(line.verdict == "FAIL" for line in lines) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("profile", nargs="?", choices=ROUNDS, default="quick")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _measured(case: Case, *, rounds: int) -> Rounds:
    """Measure, and where that was too noisy to tell, once more as long."""
    with case.contestants() as contestants:
        measured = measure(contestants, rounds=rounds, slice=case.slice)
        if any(_line(ratio, measured).verdict == "NOISY" for ratio in case.ratios):
            measured += measure(contestants, rounds=rounds, slice=case.slice)
    return measured


def _line(ratio: Ratio, rounds: Rounds) -> Line:
    found = rounds.ratio(ratio.one, ratio.other)
    verdict = "" if ratio.goal is None else found.verdict(ratio.goal)
    how = f"cpu, {len(rounds)} rounds"
    return Line(ratio.id, ratio.name, found.median, found.q1, found.q3, ratio.goal, verdict, how)


def _counts() -> Iterator[Line]:
    """Count what no noise can change."""
    yield _count("W9", "connections_of_8_threads", cases.connections(), goal=THREADS)
    yield _count("W10", "rsa_operations_of_a_query", cases.rsa_operations(), goal=RSA_OPERATIONS)


def _count(name_id: str, name: str, found: float, *, goal: int) -> Line:
    verdict = "PASS" if found <= goal else "FAIL"
    return Line(name_id, name, found, found, found, goal, verdict, "count")


def _printed(lines: Iterable[Line]) -> Iterator[Line]:
    for line in lines:
        print(line, flush=True)
        yield line


def _machine() -> dict[str, Any]:
    libraries = {name: version(name) for name in LIBRARIES}
    load = round(os.getloadavg()[0], 2)
    return {"python": platform.python_version(), **libraries, "cpus": os.cpu_count(), "load": load}


def _ticks() -> list[int]:
    """Return what all CPUs did so far: user, nice, system, idle, iowait, irq, softirq, steal."""
    return [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]


def _steal(before: list[int], after: list[int]) -> float:
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return round(100 * spent[7] / max(1, sum(spent)), 1)


if __name__ == "__main__":
    sys.exit(main())
