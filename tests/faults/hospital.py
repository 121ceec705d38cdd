"""A house on services of its own, with any number of webs and workers: what is broken in tests."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from devices.agent import activation
from devices.agent.api import Server
from devices.sdk import FaceSDK
from devices.sdk.simulated import SimulatedLibrary
from hospital.demo import commands
from hospital.demo.processes import is_free
from tests.faults.line import Line
from tests.faults.servers import PostgreSQL, RabbitMQ, Redis, Service
from tests.house import House, Lobby, Visit, free_ports, until

WEBS = ("web", "web-2")
WORKERS = ("worker", "worker-2")
BROKERS: dict[str, type[Service]] = {"rabbitmq": RabbitMQ, "redis": Redis}
APP, WSGI = "hospital.celery:app", "hospital.wsgi:application"
BEAT = [
    sys.executable, "-m", "celery", "-q", "-A", APP, "beat",
    "--loglevel", "WARNING", "--pidfile=",
]  # fmt: skip


@dataclass
class Services:
    """What a hospital shares between its machines."""

    database: PostgreSQL
    broker: Service
    cache: Redis

    @classmethod
    @contextmanager
    def running(cls, broker: str) -> Iterator[Self]:
        with (
            PostgreSQL.running() as database,
            BROKERS[broker].running() as queue,
            Redis.running() as cache,
        ):
            yield cls(database, queue, cache)

    def held(self) -> dict[str, bytes]:
        """Return all that broker and cache keep: nobody is to be found in it."""
        return {"the broker": self.broker.held(), "the cache": self.cache.held()}

    @property
    def environment(self) -> dict[str, str]:
        is_redis = isinstance(self.broker, Redis)
        return {
            "DATABASE_URL": self.database.url,
            "DATABASE_POOL": "6",
            "BROKER_URL": self.broker.url + ("/0" if is_redis else ""),
            "CACHE_URL": f"{self.cache.url}/1",
        }


@dataclass
class Hospital(House):
    """Its processes by name: `web`, `web-2`, `worker`, `worker-2`, `beat`, `notary`."""

    services: Services = field(init=False)
    line: Line = field(init=False)  # another way to the broker, which can be cut
    ports: dict[str, int] = field(default_factory=dict)
    starts: dict[str, dict[str, str]] = field(default_factory=dict)  # how each was started last

    @classmethod
    @contextmanager
    def open(cls, var: Path, services: Services, **env: str) -> Iterator[Self]:
        """Database and simulator are there; everything else is started by whoever opens it."""
        with (
            Line.laid(services.broker.port) as line,
            cls.built(var, **services.environment, **env) as hospital,
        ):
            hospital.services, hospital.line = services, line
            # Setup made the trail's public key just now: whoever starts from here on knows it.
            hospital.processes.env["TRAIL_VERIFIERS"] = hospital.place.verifier.read_text()
            hospital.ports = dict(zip(WEBS, [hospital.place.port, *free_ports(1)], strict=True))
            yield hospital

    def start(self, name: str, *, without: str = "--beat", app: str = "", **env: str) -> None:
        """
        Start one process, without waiting for it; what ends by itself starts the same way again.

        :param app: instead of the worker's, or the web's, own
        :param env: more of an environment, of this process alone
        """
        self.starts[name] = {"app": app, **env}
        kind = name.partition("-")[0]
        place = replace(self.place, port=self.ports.get(name, self.place.port))
        command = BEAT if kind == "beat" else getattr(commands, kind)(place)
        if kind == "worker":  # two of one name would fight for one mailbox
            command = [*command, "--hostname", f"{name}@%h"]
        own = {**self.place.own.get(kind, {}), **env}
        self.processes.own = {**self.processes.own, name: own}
        words = [
            app if app and word in (APP, WSGI) else word for word in command if word != without
        ]
        process = self.processes.start(name, *words)
        self.running[name] = process.pid

    def up(self, *names: str) -> None:
        """Start what is not running, and wait until the webs listen."""
        for name in names:
            if name not in self.running:
                self.start(name)
        doors = [self.ports[name] for name in names if name in self.ports]
        until(
            lambda: not self.revive() and not any(map(is_free, doors)),
            "every web listens",
        )

    def kill(self, name: str) -> None:
        """`kill -9` one; it may have ended by itself."""
        group = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        for entry in [one for one in self.processes.started if one[1].pid == group]:
            entry[1].wait()
            self.processes.started.remove(entry)

    def connect_by_line(self, worker: str) -> None:
        """
        Start a worker, without waiting for it, whose way to the broker can be cut.

        With Redis without remote control, as some hospitals have it: a line of its own would
        miss Redis after nine seconds.
        """
        url, port = self.services.environment["BROKER_URL"], self.services.broker.port
        env = {"BROKER_URL": url.replace(f":{port}", f":{self.line.port}")}
        if isinstance(self.services.broker, Redis):
            env["DJANGO_SETTINGS_MODULE"] = "tests.services.unremote"
        self.start(worker, **env)

    def said(self, what: str, *names: str) -> int:
        """Return how often processes wrote it into their logs."""
        logs = [self.place.logs / f"{name}.log" for name in names]
        return sum(log.read_text().count(what) for log in logs if log.exists())

    def noticed(self) -> int:
        """Return how often a worker noticed that it took nothing any more."""
        return self.said("watchdog.restarts", *WORKERS)

    def revive(self) -> list[str]:
        """Start again what ended by itself, as systemd would; return its names."""
        ended = [
            name
            for name, process in self.processes.started
            if self.running.get(name) == process.pid and process.poll() is not None
        ]
        for name in ended:
            with (self.place.logs / "ended").open("a") as log:
                log.write(self.processes.last_words(name) + "\n")
            self.kill(name)
            self.start(name, **self.starts[name])
        return ended

    def hang(self, name: str) -> None:
        os.killpg(self.running[name], signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        if name in self.running:
            os.killpg(self.running[name], signal.SIGCONT)

    def manage(self, *arguments: str) -> None:
        """:raises Died: the command failed"""
        self.processes.run("manage", sys.executable, "manage.py", *arguments)

    def verify_trail(self) -> None:
        """Have everything sealed, and then verified: the notary needs a second for the rest."""
        until(lambda: not self.pending(), "every event is sealed")
        self.manage("verifyaudit")

    def pending(self) -> int:
        [(count,)] = self.sql("SELECT count(*) FROM audit_pending")
        return int(count)

    @contextmanager
    def terminal(self, web: str = "web", *, patience: float = 60.0) -> Iterator["Terminal"]:
        """A program of the one terminal, bound to one web; threads have one each."""
        state = self.place.var / "terminal"
        connect = activation.connector(f"http://127.0.0.1:{self.ports[web]}", transport=None)
        with ExitStack() as stack:
            library = SimulatedLibrary(self.place.simulator, lambda: terminal.person)
            stack.enter_context(closing(library._http))
            wire = stack.enter_context(closing(connect(activation.recall(state).auth())))
            wire._patience = patience
            terminal = Terminal(Server(wire), FaceSDK(library))
            yield terminal

    def activate(self) -> None:
        """Make the one terminal known; its web and a worker are up."""
        with self.lobby() as lobby:
            lobby.equip()


class Terminal(Lobby):
    """Tells of a face_sid before it is sent: what got no answer may have arrived."""

    def visit(self, person: str, *, told: Callable[[Visit], None]) -> Visit | None:
        """Return a visit the server has answered with 202; None if they are known already."""
        self.person = person
        notice = self.server.notice()
        purposes = [purpose.code for purpose in notice.purposes if purpose.required]
        session = self.server.open(notice_version=notice.version, granted=True, purposes=purposes)
        params = self.server.authinfo(self._sdk.rawdata()).params
        seen = self._sdk.code(params)
        visit = Visit(session.id, person, seen.face_sid)
        told(visit)
        session = self.server.see(session, seen)
        said = self._sdk.authorize(params.authinfo, seen.face_sid, quit=session.quit_face_auth)
        if session.is_final:
            return None
        self.server.authorize(session, said)
        return visit


@contextmanager
def ticking(*threads: threading.Thread) -> Iterator[None]:
    """Run threads, and wait for them."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def since(moment: float) -> float:
    """Return the seconds since `moment`, for people to read."""
    return round(time.monotonic() - moment, 1)
