"""
Every figure of the project beside its peer and its limit: `make bench`.

What asking WeChat, sealing, the trail, the desk, bringing somebody on record and answering
terminals cost, each beside the work nobody can avoid or beside somebody else's. In the end the
board says of every goal how it stands. Named parts are measured alone.

Ends with 1 if a goal was missed in three quarters of the rounds, else with 0: a noisy machine
proves nothing either way.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    accepting,
    api,
    board,
    brokers,
    cases,
    elsewhere,
    finding,
    rotation,
    servers,
)
from tests.benchmarks.apart import asked as asked_apart
from tests.benchmarks.cases import CASES, Case, Ratio
from tests.benchmarks.desk import figures as desk
from tests.benchmarks.lines import Line, fewer, printed
from tests.benchmarks.onboarding import figures as onboarding
from tests.benchmarks.paired import Quartiles, Rounds, measure
from tests.benchmarks.servers import Services, Site
from tests.benchmarks.trail import figures as trail

ROUNDS = {"quick": 5, "full": 45}
ROUNDS_OF_API = {"quick": 5, "full": 27}
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


class Absent(Exception):
    """What a part needs is not on this machine."""


class Run:
    """One run of the benchmarks, part by part."""

    def __init__(self, profile: str) -> None:
        self.profile = profile
        self.services = servers.services()
        self.has_rabbitmq = self.services is not None and servers.has_rabbitmq()
        self.costs: dict[str, float] = {}

    def wechat(self) -> Iterator[Line]:
        """Asking WeChat, and sealed fields: what takes no service."""
        for case in CASES:
            rounds = _measured(case, rounds=ROUNDS[self.profile])
            self.costs |= {name: rounds.microseconds(name) / case.calls for name in rounds.seconds}
            yield from (_line(ratio, rounds) for ratio in case.ratios)
        yield _count("W9", "connections_of_8_threads", cases.connections())
        yield _count("W10", "rsa_operations_of_a_query", cases.rsa_operations())

    def rotation(self) -> Iterator[Line]:
        """The rotation of keys, beside nothing: it is to end before the hospital opens."""
        places = {"SQLite": "sqlite://:memory:"}
        if self.services:
            places["PostgreSQL"] = self.services.postgresql
        for where, url in places.items():
            rates = rotation.measure(url)
            how = f"of cpu, {rotation.ROUNDS} rounds, {where}"
            rewrapped, resealed = Quartiles.of(rates.rewrapped), Quartiles.of(rates.resealed)
            yield Line("S7", f"keys re-wrapped, {where}", rewrapped, how, "/s")
            yield Line("S8", f"values re-encrypted, {where}", resealed, how, "/s")

    def finding(self) -> Iterator[Line]:
        """Looking a patient up."""
        patients = finding.PATIENTS[self.profile]
        with tempfile.TemporaryDirectory() as var:
            found = finding.measure(self._needed.postgresql, Path(var), patients=patients)
        how = f"clock, {finding.ROUNDS} rounds, {patients:,} patients, PostgreSQL"
        ratio, note = found.ratio, fewer(patients)
        yield Line("S9", "find_by_document/plain", ratio("document", "plain"), how, note=note)
        yield Line("P14", "find_by_document/key", ratio("document", "key"), how, note=note)

    def sqlite(self) -> Iterator[Line]:
        """What has a goal where there is no PostgreSQL."""
        yield from trail.on_sqlite(self.profile)
        patients = finding.PATIENTS["quick"]
        with tempfile.TemporaryDirectory() as var:
            found = finding.measure_on_sqlite(Path(var), patients=patients)
        how = f"clock, {finding.ROUNDS} rounds, {patients:,} patients, SQLite"
        yield Line("P14l", "find_by_document/key, SQLite", found.ratio("document", "key"), how)

    def trail(self) -> Iterator[Line]:
        yield from trail.lines(self.profile, self._needed.postgresql)

    def desk(self) -> Iterator[Line]:
        yield from desk.lines(self.profile, self._needed)

    def onboarding(self) -> Iterator[Line]:
        """The worker, where it has what a hospital's has."""
        yield from onboarding.lines(self.profile, self._needed_with_rabbitmq)

    def terminals(self) -> Iterator[Line]:
        """The terminals' API on what a hospital runs it on, or failing that on SQLite."""
        places = [self.services, None] if self.profile == "full" else [self.services]
        rounds = ROUNDS_OF_API[self.profile]
        sessions = api.submissions(rounds) + servers.TERMINALS
        sessions += brokers.submissions(self.profile) + accepting.submissions(self.profile)
        for on in dict.fromkeys(places):
            with (
                tempfile.TemporaryDirectory() as var,
                servers.running(Path(var), on, sessions=sessions) as site,
            ):
                place = "PostgreSQL + Redis" if on else "SQLite"
                figures = api.measure(api.contestants(site), rounds=rounds)
                yield from api.lines(figures, judged=on is not None, where=place)
                print(f"{place}:", "; ".join(map(figures.summary, figures.rates)), flush=True)
                self.costs |= {
                    f"{name}, {place}": figures.cpu.microseconds(name) for name in figures.rates
                }
                if "hung" in site.servers:
                    yield from brokers.lines(self.profile, site)
                    yield from self._accepting(site, Path(var))

    def _accepting(self, site: Site, var: Path) -> Iterator[Line]:
        ids = [next(site.sessions)["id"] for _ in range(accepting.submissions(self.profile))]
        file = var / "sessions.json"
        file.write_text(json.dumps(ids))
        rounds = accepting.ROUNDS[self.profile]
        found = Rounds(asked_apart("accepting", file, rounds, env=site.environment))
        how = f"clock, {rounds} rounds, PostgreSQL + RabbitMQ"
        yield Line("P13", "accept/plain_insert", found.ratio("accept", "insert"), how)
        file.write_text(json.dumps(site.terminals))
        counts = asked_apart("statements", file, env=site.environment)
        how = "count, the cache in Redis"
        yield Line.one("C3", "statements, no record", counts["unrecorded"], how, unit="")
        yield Line.one("C4", "statements, recorded", counts["recorded"], how, unit="")

    @property
    def _needed(self) -> Services:
        if self.services is None:
            raise Absent("needs PostgreSQL and Redis")
        return self.services

    @property
    def _needed_with_rabbitmq(self) -> Services:
        if not self.has_rabbitmq:
            raise Absent("needs PostgreSQL, Redis and RabbitMQ")
        return self._needed


def main() -> int:
    asked = _arguments()
    os.environ["NO_PROXY"] = "127.0.0.1"  # requests and urllib believe the environment
    run, began = Run(asked.profile), _ticks()
    lines, absent, took = [], dict[str, str](), dict[str, list[float]]()
    for name in board.PARTS:
        if asked.parts and name not in asked.parts:
            absent[name] = "not asked for"
            continue
        started, cpu = time.monotonic(), _cpu()
        try:
            lines += printed(getattr(run, name)())
        except Absent as exc:
            absent[name] = str(exc)
        took[name] = [round(time.monotonic() - started), round(_cpu() - cpu)]
    for name in ("brokers", "accepting"):  # of the terminals' part, and they take a broker
        absent[name] = absent.get("terminals", "needs PostgreSQL, Redis and RabbitMQ")
    if run.services is None:
        absent.setdefault("terminals", "judged on PostgreSQL and Redis only")
    shown = list(board.rows(lines, absent=absent, kept=elsewhere.kept()))
    machine = {**_machine(), "steal_percent": _steal(began, _ticks())}
    print("\nThe board: every goal, its figure, or why there is none")
    print(*shown, sep="\n")
    print("µs of CPU:", "; ".join(f"{name} {cost:.0f}" for name, cost in run.costs.items()))
    each = (f"{name} {seconds} ({cpu} of CPU)" for name, (seconds, cpu) in took.items())
    print("seconds:", "; ".join(each))
    print("; ".join(f"{name} {value}" for name, value in machine.items()))
    print(board.summary(shown))
    if asked.json:
        report = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "profile": asked.profile,
            "machine": machine,
            "seconds": took,
            "lines": [
                {
                    **asdict(line),
                    "goal": asdict(line.goal) if line.goal else None,
                    "verdict": line.verdict,
                }
                for line in lines
            ],
            "board": [asdict(row) for row in shown],
            "cpu_us": run.costs,
        }
        asked.json.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    return 1 if any(row.is_missed_now for row in shown) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("profile", nargs="?", choices=ROUNDS, default="quick")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(board.PARTS))
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    if unknown := {*asked.parts} - {*board.PARTS}:
        parser.error(f"no part: {', '.join(sorted(unknown))}")
    return asked


def _measured(case: Case, *, rounds: int) -> Rounds:
    """Measure, and where that was too noisy to tell, once more as long."""
    with case.contestants() as contestants:
        measured = measure(contestants, rounds=rounds, slice=case.slice, slices=case.slices)
        if any(_line(ratio, measured).verdict == "NOISY" for ratio in case.ratios):
            measured += measure(contestants, rounds=rounds, slice=case.slice, slices=case.slices)
    return measured


def _line(ratio: Ratio, rounds: Rounds) -> Line:
    found = rounds.ratio(ratio.one, ratio.other)
    return Line(ratio.id, ratio.name, found, f"cpu, {len(rounds)} rounds")


def _count(name_id: str, name: str, found: float) -> Line:
    return Line.one(name_id, name, found, "count", unit="")


def _cpu() -> float:
    """Return the seconds of CPU of this process and of those it waited for."""
    return sum(os.times()[:4])


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
