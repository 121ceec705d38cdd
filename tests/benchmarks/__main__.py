"""
What we cost: asking WeChat, beside the work nobody can avoid; sealed fields, beside plain ones;
answering terminals, beside a bare view; the trail, beside none. `make bench`.

Ends with 1 if a goal was missed in three quarters of the rounds, else with 0: a noisy machine
proves nothing either way.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import api, cases, finding, rotation, servers
from tests.benchmarks.cases import CASES, THREADS, Case, Ratio
from tests.benchmarks.desk import figures as desk
from tests.benchmarks.lines import Goal, Line, printed
from tests.benchmarks.paired import Quartiles, Rounds, measure
from tests.benchmarks.trail import figures

ROUNDS = {"quick": 15, "full": 45}
ROUNDS_OF_API = {"quick": 9, "full": 27}
RSA_OPERATIONS = 4  # sign, verify, decrypt twice
LIBRARIES = (
    "cryptography",
    "django",
    "django-auditlog",
    "django-fernet-encrypted-fields",
    "django-simple-history",
    "djangorestframework",
    "granian",
    "httpx",
    "requests",
    "wechatpayv3",
)


def main() -> int:
    asked = _arguments()
    os.environ["NO_PROXY"] = "127.0.0.1"  # requests and urllib believe the environment
    began, lines, costs = _ticks(), [], {}
    for case in CASES:
        rounds = _measured(case, rounds=ROUNDS[asked.profile])
        costs |= {name: rounds.microseconds(name) / case.calls for name in rounds.seconds}
        lines += printed(_line(ratio, rounds) for ratio in case.ratios)
    lines += printed(_rotating())
    lines += printed(_finding(finding.PATIENTS[asked.profile]))
    lines += printed(_trail(asked.profile))
    lines += printed(_desk(asked.profile))
    lines += printed(_counts())
    lines += _answering(
        ROUNDS_OF_API[asked.profile], everywhere=asked.profile == "full", costs=costs
    )
    machine = {**_machine(), "steal_percent": _steal(began, _ticks())}
    print("µs of CPU:", "; ".join(f"{name} {cost:.0f}" for name, cost in costs.items()))
    print("; ".join(f"{name} {value}" for name, value in machine.items()))
    if asked.json:
        each = [{**asdict(line), "verdict": line.verdict} for line in lines]
        report = {"machine": machine, "lines": each, "cpu_us": costs}
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
        measured = measure(contestants, rounds=rounds, slice=case.slice, slices=case.slices)
        if any(_line(ratio, measured).verdict == "NOISY" for ratio in case.ratios):
            measured += measure(contestants, rounds=rounds, slice=case.slice, slices=case.slices)
    return measured


def _line(ratio: Ratio, rounds: Rounds) -> Line:
    found = rounds.ratio(ratio.one, ratio.other)
    goal = None if ratio.goal is None else Goal(ratio.goal)
    return Line(ratio.id, ratio.name, found, goal, f"cpu, {len(rounds)} rounds")


def _rotating() -> Iterator[Line]:
    """Measure the rotation of keys, beside nothing: it is to end before the hospital opens."""
    places = {"SQLite": "sqlite://:memory:"}
    if services := servers.services():
        places["PostgreSQL"] = services.postgresql
    for where, url in places.items():
        rates = rotation.measure(url)
        how = f"a second of cpu, {rotation.ROUNDS} rounds, {where}"
        rewrapped, resealed = Quartiles.of(rates.rewrapped), Quartiles.of(rates.resealed)
        yield Line("S7", "keys re-wrapped", rewrapped, Goal(20_000, at_least=True), how)
        yield Line("S8", "values re-encrypted", resealed, Goal(8_000, at_least=True), how)


def _finding(patients: int) -> Iterator[Line]:
    """Measure looking a patient up, where there is a PostgreSQL."""
    services = servers.services()
    if services is None:
        return
    with tempfile.TemporaryDirectory() as var:
        found = finding.measure(services.postgresql, Path(var), patients=patients)
    how = f"wall, {finding.ROUNDS} rounds, {patients:,} patients, PostgreSQL"
    yield Line("S9", "find_by_document/plain", found, Goal(2.0), how)


def _trail(profile: str) -> Iterator[Line]:
    """Measure the trail, where there is a PostgreSQL: what it is made for."""
    if services := servers.services():
        yield from figures.lines(profile, services.postgresql)
        return
    print("no PostgreSQL and Redis here: of the trail only what SQLite can tell")
    yield from figures.on_sqlite(profile)


def _desk(profile: str) -> Iterator[Line]:
    """Measure the pages of the desk, where a hospital's database is."""
    if services := servers.services():
        yield from desk.lines(profile, services)


def _counts() -> Iterator[Line]:
    """Count what no noise can change."""
    yield _count("W9", "connections_of_8_threads", cases.connections(), goal=THREADS)
    yield _count("W10", "rsa_operations_of_a_query", cases.rsa_operations(), goal=RSA_OPERATIONS)


def _count(name_id: str, name: str, found: float, *, goal: int) -> Line:
    return Line(name_id, name, Quartiles(found, found, found), Goal(goal), "count")


def _answering(rounds: int, *, everywhere: bool, costs: dict[str, float]) -> list[Line]:
    """Measure the terminals' API on what a hospital runs it on, or failing that on SQLite."""
    lines: list[Line] = []
    services = servers.services()
    if services is None:
        print("no PostgreSQL and Redis here: on SQLite, where no goal is set")
    for where in [services, None] if services and everywhere else [services]:
        with tempfile.TemporaryDirectory() as var, servers.running(Path(var), where) as site:
            figures = api.measure(api.contestants(site), rounds=rounds)
        place = "PostgreSQL + Redis" if where else "SQLite"
        lines += printed(api.lines(figures, judged=where is not None, where=place))
        print(f"{place}:", "; ".join(map(figures.summary, figures.rates)), flush=True)
        costs |= {f"{name}, {place}": figures.cpu.microseconds(name) for name in figures.rates}
    return lines


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
