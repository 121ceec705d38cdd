"""The project as a hospital runs it, and bare views beside it: the same server, several times."""

import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from kombu import Connection
from redis import Redis, RedisError

from hospital.demo import commands
from hospital.demo.installation import ROOT, Installation
from hospital.demo.processes import Processes
from tests.benchmarks.visitors import Unanswered, Visitors
from tests.house import free_ports, postgresql

TERMINALS = 200  # so many share the load that none of them meets its limit
CACHE = 13  # Redis database
_PSS = re.compile(r"^Pss: +([0-9]+) kB", re.MULTILINE)
CPUCLOCK_SCHED = 2  # include/linux/posix-timers.h


@dataclass(frozen=True)
class Server:
    """How one is started: whose WSGI application, and what it has of an environment of its own."""

    module: str
    own: Mapping[str, str] = field(default_factory=dict)


REFERENCE = "tests.benchmarks.reference"
BARE = {"DJANGO_SETTINGS_MODULE": f"{REFERENCE}.settings"}
# The views to compare with, as they are and inside the project's middleware.
SERVERS = {
    "project": Server("hospital.wsgi"),
    "unrecorded": Server(f"{REFERENCE}.unrecorded"),
    "reference": Server(f"{REFERENCE}.wsgi", BARE),
    "clothed": Server(f"{REFERENCE}.wsgi", {"DJANGO_SETTINGS_MODULE": f"{REFERENCE}.clothed"}),
}


@dataclass(frozen=True)
class Served:
    """One server: where it listens, who asks it, and who does its work."""

    port: int
    visitors: Visitors
    pids: tuple[int, ...]

    def cpu(self) -> float:
        """Return the seconds of CPU its processes used, all threads and the kernel's part."""
        return sum(map(cpu_of, self.pids))


@dataclass(frozen=True)
class Site:
    """
    Servers on one database, by name, and the secrets of those who may ask.

    :ivar sessions: visits of people who were seen and have not answered, each good for one answer
    :ivar environment: of a process that belongs to it
    """

    servers: Mapping[str, Served]
    terminals: list[dict[str, str]] = field(repr=False)
    token: str = field(repr=False)
    sessions: Iterator[dict[str, str]] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Services:
    """What a hospital runs it on."""

    postgresql: str
    redis: str


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU a process used, all its threads and the kernel's part."""
    # What clock_getcpuclockid(3) returns for a process; /proc counts in hundredths.
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def pss_of(pid: int) -> float:
    """Return the MiB a process has, each page shared out among who has it."""
    return int(_PSS.findall(Path(f"/proc/{pid}/smaps_rollup").read_text())[0]) / 1024


def children_of(pid: int) -> tuple[int, ...]:
    """Return the ids of a process's children, of whichever of its threads."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return tuple(int(child) for task in tasks for child in task.read_text().split())


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


def has_rabbitmq() -> bool:
    """Return whether RabbitMQ of this machine answers."""
    try:
        with Connection(rabbitmq(), connect_timeout=2) as connection:
            connection.connect()
    except OSError:
        return False
    return True


def rabbitmq() -> str:
    """Return where this machine's RabbitMQ is, with the virtual host to use."""
    return os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")


@contextmanager
def queue() -> Iterator[dict[str, str]]:
    """Yield the environment of who uses a queue of its own on RabbitMQ, gone afterwards."""
    name = f"bench-{uuid4().hex}"
    yield {"BROKER_URL": rabbitmq(), "BROKER_QUEUE": name}
    with Connection(rabbitmq()) as connection:
        connection.default_channel.queue_delete(name)


@contextmanager
def running(var: Path, on: Services | None, *, sessions: int) -> Iterator[Site]:
    """Fill a database of its own, and serve it for as long as the block lasts."""
    with ExitStack() as used:
        env, servers = {}, dict(SERVERS)
        if on is not None:
            env["DATABASE_URL"] = used.enter_context(postgresql(on.postgresql))
            # Keys of two runs cannot meet: each terminal's is new, and they expire.
            env["CACHE_URL"] = f"{on.redis}/{CACHE}"
            if has_rabbitmq():
                env |= used.enter_context(queue())
                servers |= used.enter_context(_without_broker())
        yield used.enter_context(_served(var, env, servers, sessions))


@contextmanager
def _without_broker() -> Iterator[dict[str, Server]]:
    """Yield the project with nobody where its broker should be, and with one that says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        places = {"refused": free_ports(1)[0], "hung": silent.getsockname()[1]}
        yield {
            name: Server("hospital.wsgi", {"BROKER_URL": f"amqp://127.0.0.1:{port}//"})
            for name, port in places.items()
        }


@contextmanager
def _served(
    var: Path, env: dict[str, str], servers: Mapping[str, Server], sessions: int
) -> Iterator[Site]:
    places = [Installation(var, port, 0) for port in free_ports(len(servers))]
    environment = {**places[0].prepare(), **env}
    own = {"fill": BARE} | {name: server.own for name, server in servers.items()}
    with (
        Processes(env=environment, own=own, cwd=ROOT, logs=places[0].logs) as processes,
        ExitStack() as opened,
    ):
        secrets = _filled(processes, places[0], sessions)
        started = {
            name: processes.start(name, *commands.web(place)[:-1], f"{server.module}:application")
            for place, (name, server) in zip(places, servers.items(), strict=True)
        }
        served = {}
        for place, (name, process) in zip(places, started.items(), strict=True):
            processes.wait_for_port(place.port)
            visitors = opened.enter_context(closing(Visitors(place.port)))
            served[name] = Served(place.port, visitors, children_of(process.pid))
        sessions_of = iter(secrets.pop("sessions"))
        try:
            yield Site(served, **secrets, sessions=sessions_of, environment=environment)
        except Unanswered as exc:
            for name in served:
                exc.add_note(_errors(places[0].logs / f"{name}.log"))
            raise


def _errors(log: Path) -> str:
    lines = [line for line in log.read_text().splitlines() if '"level": "error"' in line]
    return "\n".join([log.name, *lines[-2:]])


def _filled(processes: Processes, place: Installation, sessions: int) -> dict[str, Any]:
    answer = place.var / "secrets.json"
    processes.run("fill", *commands.MANAGE, "fill", f"{TERMINALS}", f"{sessions}", f"{answer}")
    secrets: dict[str, Any] = json.loads(answer.read_text())
    return secrets
