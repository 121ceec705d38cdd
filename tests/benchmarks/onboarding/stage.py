"""A hospital's workers and all they need, for as long as somebody measures them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from faceauth.simulator import Simulator
from hospital.demo.installation import ROOT
from tests.benchmarks import scene
from tests.benchmarks.onboarding import libraries
from tests.benchmarks.onboarding.lobby import THREADS
from tests.benchmarks.servers import Services, children_of, cpu_of, pss_of, queue
from tests.benchmarks.upstream import answering
from tests.house import House, postgresql, until

CACHE = 10  # Redis database
DELAY = 0.1  # seconds WeChat takes
THREADED = f"-P threads -c {THREADS}"
PATIENCE = 180  # seconds
LEFT = "SELECT count(*) FROM faceauth_facesession WHERE state = 'authorized'"
CARRIED = "SELECT count(*) FROM carried"
DONE = "SELECT count(*) FROM faceauth_facesession WHERE state = 'onboarded'"


@dataclass
class Stage:
    house: House
    lobby: "subprocess.Popen[str]"
    database: "psycopg.Connection[tuple[int]]"
    total: int
    woken: int = 0
    carried: int = 0  # rows
    workers: list[int] = field(default_factory=list)

    def add_worker(self, pool: str = THREADED) -> None:
        name = f"worker-{len(self.workers)}"
        processes = self.house.processes
        processes.own = {**processes.own, name: self.house.place.own["worker"]}
        command = [*worker(name, pool=pool), "-I", libraries.__name__]
        self.workers.append(processes.start(name, *command).pid)

    def end_workers(self) -> None:
        """Have those end who work; nobody is waiting for them."""
        started = self.house.processes.started
        for entry in [one for one in started if one[1].pid in self.workers]:
            os.killpg(entry[1].pid, signal.SIGKILL)
            entry[1].wait()
            started.remove(entry)
        self.workers.clear()

    def work(self, count: int) -> tuple[float, float]:
        """Have so many onboarded by the workers; return the seconds of CPU and on the clock."""
        before, began = self._cpu(), time.perf_counter()
        self.say(f"wake {count}")
        self.woken += count
        until(self._is_idle, "everybody is dealt with", seconds=PATIENCE)
        return self._cpu() - before, time.perf_counter() - began

    def carry(self, count: int) -> float:
        """Have so many messages carried by the libraries alone; return the seconds of CPU."""
        self.carried += count * libraries.STATEMENTS
        before = self._cpu()
        self.say(f"carry {count}")
        until(lambda: self._count(CARRIED) == self.carried, "all is carried", seconds=PATIENCE)
        return self._cpu() - before

    def alone(self, count: int) -> float:
        """Have so many onboarded without a broker; return the seconds of CPU."""
        self.woken += count
        took = self.say(f"do {count}")
        assert self._is_idle()
        return took

    def count(self, people: int) -> tuple[int, int]:
        """Have so many onboarded; return statements and RSA operations one took at the most."""
        self.woken += people
        statements, operations = map(int, self._ask(f"count {people}").split())
        return statements, operations

    def pss(self) -> float:
        """Return the MiB of memory the workers have, each page shared out among who has it."""
        return sum(pss_of(pid) for one in self.workers for pid in (one, *children_of(one)))

    def say(self, line: str) -> float:
        """Return the seconds of CPU the lobby took for it."""
        return float(self._ask(line))

    def _ask(self, line: str) -> str:
        assert self.lobby.stdin
        assert self.lobby.stdout
        self.lobby.stdin.write(line + "\n")
        self.lobby.stdin.flush()
        answer = self.lobby.stdout.readline()
        assert answer, self.house.processes.last_words("setup")
        return answer

    def assert_everybody_is_on_record(self) -> None:
        assert self._count(DONE) == self.woken

    def _is_idle(self) -> bool:
        return self._count(LEFT) == self.total - self.woken

    def _count(self, statement: str) -> int:
        row = self.database.execute(statement).fetchone()
        assert row
        return row[0]

    def _cpu(self) -> float:
        return sum(map(cpu_of, self.workers))


def worker(name: str, *, pool: str = THREADED, beat: bool = False) -> list[str]:
    """Return what a worker of this name is started with."""
    command = f"-m celery -q -A hospital.celery:app worker -n {name}-{os.getpid()} -l WARNING"
    options = f"{pool} --without-gossip --without-mingle --without-heartbeat"
    more = ["--beat"] if beat else []
    return [sys.executable, *command.split(), *options.split(), *more]


@contextmanager
def opened(var: Path, on: Services, *, people: int, delay: float = DELAY) -> Iterator[Stage]:
    """Bring so many strangers to where they said yes; nobody works for them yet."""
    env = {"CACHE_URL": f"{on.redis}/{CACHE}", "DATABASE_POOL": str(THREADS)}
    with (
        queue() as broker,
        postgresql(on.postgresql) as url,
        House.built(var, DATABASE_URL=url, **broker, **env) as house,
        psycopg.connect(url, autocommit=True) as database,
    ):
        simulator = Simulator.load(house.place.exported)
        seen = [simulator.meet(f"stranger-{number}") for number in range(people)]
        answers = {face_sid: scene.ask(simulator, face_sid).raw for face_sid in seen}
        with answering(answers, delay=delay) as wechat, _lobby(house) as lobby:
            stage = Stage(house, lobby, database, people)
            database.execute(libraries.TABLE)
            stage.say(json.dumps({"base_url": wechat.base_url, "face_sids": seen}))
            yield stage


@contextmanager
def _lobby(house: House) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.onboarding.lobby"],
        env={**house.processes.env, **house.place.own["worker"]},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        yield process
        process.stdin.close()
