"""The project as a hospital runs it, and the bare views beside it: the same server, twice."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis, RedisError

from hospital.demo import commands
from hospital.demo.installation import ROOT, Installation
from hospital.demo.processes import Processes
from tests.benchmarks.visitors import Visitors
from tests.house import free_ports, postgresql

TERMINALS = 200  # so many share the load that none of them meets its limit
CACHE = 13  # Redis database
BARE_SETTINGS = "tests.benchmarks.reference.settings"
CPUCLOCK_SCHED = 2  # include/linux/posix-timers.h


@dataclass(frozen=True)
class Served:
    """One server: where it listens, and who does its work."""

    visitors: Visitors
    pids: tuple[int, ...]

    def cpu(self) -> float:
        """Return the seconds of CPU its processes used, all threads and the kernel's part."""
        # What clock_getcpuclockid(3) returns for a process; /proc counts in hundredths.
        return sum(time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED) for pid in self.pids)


@dataclass(frozen=True)
class Site:
    """Both servers on one database, and the secrets of those who may ask."""

    project: Served
    reference: Served
    secrets: dict[str, Any]


@dataclass(frozen=True)
class Services:
    """What a hospital runs it on."""

    postgresql: str
    redis: str


def services() -> Services | None:
    """Return PostgreSQL and Redis of this machine, if both answer."""
    found = Services(
        os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres"),
        os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379"),
    )
    try:
        psycopg.connect(found.postgresql, connect_timeout=2).close()
        Redis.from_url(found.redis).ping()
    except (psycopg.OperationalError, RedisError):
        return None
    return found


@contextmanager
def running(var: Path, on: Services | None) -> Iterator[Site]:
    """Fill a database of its own, and serve it for as long as the block lasts."""
    with ExitStack() as used:
        env = {}
        if on is not None:
            env["DATABASE_URL"] = used.enter_context(postgresql(on.postgresql))
            # Keys of two runs cannot meet: each terminal's is new, and they expire.
            env["CACHE_URL"] = f"{on.redis}/{CACHE}"
        yield used.enter_context(_served(var, env))


@contextmanager
def _served(var: Path, env: dict[str, str]) -> Iterator[Site]:
    project, reference = (Installation(var, port, 0) for port in free_ports(2))
    bare = {"DJANGO_SETTINGS_MODULE": BARE_SETTINGS}
    own = {"fill": bare, "reference": bare}
    environment = {**project.prepare(), **env}
    with Processes(env=environment, own=own, cwd=ROOT, logs=project.logs) as processes:
        secrets = _filled(processes, project)
        module = "tests.benchmarks.reference.wsgi:application"
        servers = [
            _started(processes, "project", project, commands.web(project)),
            _started(processes, "reference", reference, [*commands.web(reference)[:-1], module]),
        ]
        with closing(servers[0].visitors), closing(servers[1].visitors):
            yield Site(*servers, secrets)


def _filled(processes: Processes, place: Installation) -> dict[str, Any]:
    answer = place.var / "secrets.json"
    processes.run("fill", *commands.MANAGE, "fill", str(TERMINALS), str(answer))
    secrets: dict[str, Any] = json.loads(answer.read_text())
    return secrets


def _started(processes: Processes, name: str, place: Installation, command: list[str]) -> Served:
    pid = processes.start(name, *command).pid
    processes.wait_for_port(place.port)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return Served(Visitors(place.port), tuple(int(child) for child in children))
