"""
Terminals against web, worker and notary on PostgreSQL, RabbitMQ and Redis: `make load`.

First as fast as they can, which finds the ceiling; then by chance at half of it and at nine tenths.
Ends with 1 if a visit went wrong or a goal was missed, with 2 if a service is not there.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg

from hospital.demo import commands
from hospital.demo.installation import ROOT
from tests.benchmarks import elsewhere
from tests.benchmarks.goals import limit
from tests.benchmarks.onboarding.stage import worker
from tests.benchmarks.servers import children_of, cpu_of, has_rabbitmq, pss_of, queue, services
from tests.house import House, postgresql

SECONDS: Final = float(os.environ.get("LOAD_SECONDS", "20"))  # of each spell
TERMINALS: Final = int(os.environ.get("LOAD_TERMINALS", "24"))
WORKERS: Final = int(os.environ.get("LOAD_WORKERS", "1"))
UPSTREAM: Final = float(os.environ.get("LOAD_UPSTREAM", "0.1"))  # seconds WeChat takes
CACHE: Final = 9  # Redis database
LEAST: Final = 100  # visits in a spell: of fewer a p95 says nothing, and is not left
# Over what WeChat takes, at which part of the ceiling: seconds from the scan to the record, p95.
GOALS: Final = {0.5: limit("L1") / 1e3, 0.9: limit("L2") / 1e3}
MEMORY: Final = limit("L3")  # MiB

_QUEUE: Final = (
    "SELECT extract(epoch FROM now() - min(due_at)) FROM faceauth_facesession"
    " WHERE state = 'authorized' AND due_at <= now()"
)
_RECORDED: Final = (
    "SELECT id::text, extract(epoch FROM finished_at) FROM faceauth_facesession"
    " WHERE state = 'onboarded'"
)
_BACKENDS: Final = (
    "SELECT pid FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_BYTES: Final = (
    "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables"
    " WHERE pg_total_relation_size(relid) > 0"
)


@dataclass
class Hall:
    """What runs, and who does which part of the work."""

    house: House
    database: "psycopg.Connection[Any]"
    terminals: "subprocess.Popen[str]"
    pids: dict[str, list[int]]

    def cpu(self) -> dict[str, float]:
        """Return seconds of CPU so far, by part."""
        backends = [pid for (pid,) in self.database.execute(_BACKENDS)]
        return {
            **{name: sum(map(cpu_of, pids)) for name, pids in self.pids.items()},
            "PostgreSQL": sum(map(_cpu_or_none, backends)),
        }

    def say(self, line: str) -> list[dict[str, Any]]:
        assert self.terminals.stdin
        assert self.terminals.stdout
        self.terminals.stdin.write(line + "\n")
        self.terminals.stdin.flush()
        visits: list[dict[str, Any]] = json.loads(self.terminals.stdout.readline())
        return visits


@dataclass
class Spell:
    """What came of one spell of work."""

    visits: list[dict[str, Any]]
    recorded: list[float]  # seconds from the scan to the record, of those who are on it
    seconds: float
    cpu: dict[str, float]  # seconds, by part
    ages: list[float] = field(default_factory=list)  # of the oldest work that was due, seconds

    @property
    def rate(self) -> float:
        return len(self.recorded) / self.seconds

    @property
    def errors(self) -> list[str]:
        wrong = [one["error"] for one in self.visits if one["error"]]
        return wrong + ["not on record"] * (len(self.visits) - len(wrong) - len(self.recorded))

    def told(self, what: str) -> str:
        record, screen = _percentiles(self.recorded), _percentiles(self._told_after)
        age = max(self.ages, default=0)
        return (
            f"{what:<8} {self.rate:6.1f}/s"
            f"  scan→record p50 {record[50]:4.0f}  p95 {record[95]:4.0f}  p99 {record[99]:4.0f} ms"
            f"  scan→screen p95 {screen[95]:4.0f} ms"
            f"  queue age ≤ {age * 1e3:.0f} ms  errors {len(self.errors)}"
        )

    def cost(self) -> str:
        each = {name: took / len(self.recorded) * 1e3 for name, took in self.cpu.items()}
        parts = "; ".join(
            f"{name} {ms:.1f} ms, {1e3 / ms:.0f}/s a core" for name, ms in each.items() if ms
        )
        return f"CPU of one onboarding: {parts}"

    @property
    def _told_after(self) -> list[float]:
        return [one["told"] - one["scanned"] for one in self.visits if not one["error"]]


def main() -> int:
    os.environ["NO_PROXY"] = "127.0.0.1"
    if services() is None or not has_rabbitmq():
        print("make load 需要 PostgreSQL、RabbitMQ 和 Redis")
        return 2
    with tempfile.TemporaryDirectory() as var, _open(Path(var)) as hall:
        idle = {name: sum(map(pss_of, pids)) for name, pids in hall.pids.items()}
        _spell(hall, f"closed {min(SECONDS, 5)}")  # warms everything up
        before = _bytes(hall)
        top = _spell(hall, f"closed {SECONDS}")
        print(top.told("ceiling"), flush=True)
        spells, missed, over_wechat = [top], [], list[float]()
        for part, over in GOALS.items():
            spell = _spell(hall, f"open {SECONDS} {top.rate * part}")
            spells.append(spell)
            found = _percentiles(spell.recorded)[95] / 1e3
            met = found <= UPSTREAM + over
            over_wechat.append((found - UPSTREAM) * 1e3)
            missed += [] if met else [part]
            goal = f"goal p95 <= {(UPSTREAM + over) * 1e3:.0f} ms {'PASS' if met else 'FAIL'}"
            print(spell.told(f"{part:.0%}"), goal, flush=True)
        print(top.cost())
        grown = _bytes(hall) - before
        done = sum(len(spell.recorded) for spell in spells)
        print(f"PostgreSQL grew {grown / done:.0f} bytes for each of {done} onboardings")
        parts = "; ".join(f"{name} {pss:.0f} MiB" for name, pss in idle.items())
        memory = sum(idle[name] for name in ("web", "worker", "notary"))
        print(f"idle: {parts}; web + worker + notary {memory:.0f} MiB, goal <= {MEMORY:.0f}")
        errors = [error for spell in spells for error in spell.errors]
        for error in sorted({*errors}):
            print(f"{errors.count(error)} × {error}")
    _leave(spells, over_wechat, memory=memory, errors=len(errors))
    load = os.getloadavg()[0]
    print(f"{TERMINALS} terminals, {WORKERS} worker(s), {os.cpu_count()} cores, load {load:.1f}")
    return 1 if errors or missed or memory > MEMORY else 0


def _leave(
    spells: list[Spell],
    over_wechat: list[float],
    *,
    memory: float,
    errors: int,
    place: Path = elsewhere.PLACE,
) -> None:
    """Leave the figures for the board, unless there were too few visits to speak of."""
    fewest = min(len(spell.visits) for spell in spells)
    if fewest < LEAST:
        print(f"{fewest} visits in a spell, not {LEAST}: nothing is left for the board")
        return
    at = datetime.now(UTC).isoformat(timespec="seconds")
    half, most = (math.inf if math.isnan(ms) else ms for ms in over_wechat)
    figures = {"at": at, "L1": half, "L2": most, "L3": memory, "L4": errors}
    elsewhere.leave("load", figures, place)


@contextmanager
def _open(var: Path) -> Iterator[Hall]:
    on = services()
    assert on
    env = {"CACHE_URL": f"{on.redis}/{CACHE}", "DATABASE_POOL": "64"}
    with (
        queue() as broker,
        postgresql(on.postgresql) as url,
        House.built(var, DATABASE_URL=url, **broker, **env) as house,
        psycopg.connect(url, autocommit=True) as database,
    ):
        house.weather("slow", times=0, endpoint="users", seconds=UPSTREAM)
        house.start("web")
        processes, pids = house.processes, {"web": children_of(house.running["web"])}
        pids["web"] = (*pids["web"], house.running["web"])
        for number in range(WORKERS):
            name = f"worker-{number}"
            processes.own = {**processes.own, name: house.place.own["worker"]}
            started = processes.start(name, *worker(name, beat=number == 0))
            pids["worker"] = (*pids.get("worker", ()), started.pid)
        pids["notary"] = (processes.start("notary", *commands.notary(house.place)).pid,)
        pids["simulator"] = (house.running["simulator"],)
        secrets = var / "boxes.json"
        boxes = (sys.executable, "-m", "tests.benchmarks.load.boxes", str(TERMINALS), str(secrets))
        processes.run("boxes", *boxes)
        with _terminals(house, secrets) as terminals:
            held = {name: list(some) for name, some in pids.items()}
            yield Hall(house, database, terminals, held)


@contextmanager
def _terminals(house: House, secrets: Path) -> Iterator["subprocess.Popen[str]"]:
    where = (house.place.server, house.place.simulator, str(secrets))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.load.terminals", *where],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


def _spell(hall: Hall, line: str) -> Spell:
    ages: list[float] = []
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(hall.house.database, ages, over))
    watching.start()
    before, began = hall.cpu(), time.perf_counter()
    visits = hall.say(line)
    took, after = time.perf_counter() - began, hall.cpu()
    over.set()
    watching.join()
    at: dict[str, Any] = dict(hall.database.execute(_RECORDED).fetchall())
    recorded = [
        float(at[one["session"]]) - one["scanned"] for one in visits if one["session"] in at
    ]
    spent = {name: max(0.0, after[name] - before[name]) for name in after}
    return Spell(visits, recorded, took, spent, ages)


def _watch(url: str, ages: list[float], over: threading.Event) -> None:
    with psycopg.connect(url, autocommit=True) as database:
        while not over.wait(0.1):
            found = database.execute(_QUEUE).fetchone()
            ages.append(float(found[0]) if found and found[0] is not None else 0.0)


def _bytes(hall: Hall) -> int:
    return sum(size for _, size in hall.database.execute(_BYTES))


def _percentiles(found: list[float]) -> dict[int, float]:
    """Return milliseconds by percentile."""
    if len(found) < 2:
        return dict.fromkeys(range(1, 100), float("nan"))
    parts = statistics.quantiles(found, n=100, method="inclusive")
    return {place: value * 1e3 for place, value in enumerate(parts, start=1)}


def _cpu_or_none(pid: int) -> float:
    try:
        return cpu_of(pid)
    except OSError:  # it ended
        return 0.0


if __name__ == "__main__":
    sys.exit(main())
