"""Many beats, one at work: wherever the one is killed, cut off or hung, another goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from hospital.demo import commands
from hospital.demo.installation import ROOT, Installation
from tests.house import free_ports, postgresql, until

pytestmark = pytest.mark.postgresql

BEAT = [
    sys.executable, "-m", "celery", "-q", "-A", "hospital.celery:app", "beat",
    "--loglevel", "WARNING", "--pidfile=",
]  # fmt: skip
LOCKS = (
    "FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND datname = current_database()"
)


class Host:
    """One machine: what its beat sends lies in a folder nobody else sends to."""

    def __init__(self, var: Path, url: str, stack: ExitStack, **env: str) -> None:
        self.place = Installation(var, *free_ports(2))
        self.env = {**self.place.prepare(), "DATABASE_URL": url, "DATABASE_POOL": "3", **env}
        self._stack = stack

    def start(self, command: list[str] = BEAT) -> "subprocess.Popen[bytes]":
        with (self.place.logs / "beat.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        self._stack.callback(_end, process)
        return process

    def run(self, *command: str) -> None:
        subprocess.run([sys.executable, *command], cwd=ROOT, env=self.env, check=True)

    def sends(self) -> bool:
        """Return whether anything was sent since the last time it was forgotten."""
        return self.sent() > 0

    def sent(self) -> int:
        return len([*self.place.broker.glob("*.msg")])

    def forget(self) -> None:
        for message in self.place.broker.glob("*.msg"):
            message.unlink()

    def said(self, what: str) -> bool:
        return what in (self.place.logs / "beat.log").read_text()


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgresql(os.environ.get("DATABASE_URL", "")) as url, ExitStack() as stack:
        host = Host(tmp_path_factory.mktemp("setup"), url, stack)
        host.run("manage.py", "migrate", "--skip-checks", "-v", "0")
        host.run("manage.py", "createcachetable")
        yield url


@pytest.fixture
def hosts(url: str, tmp_path: Path) -> Iterator[list[Host]]:
    with ExitStack() as stack:
        yield [Host(tmp_path / name, url, stack) for name in ("first", "second")]


@contextmanager
def server(url: str) -> Iterator["psycopg.Connection[tuple[int]]"]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def one_of_two(hosts: list[Host]) -> "tuple[subprocess.Popen[bytes], Host, Host]":
    """Start a beat on both; return the process that holds, its host, and the other."""
    first, second = hosts
    process = first.start()
    until(first.sends, "the first sends")
    second.start()
    until(lambda: second.said("beat.stands_by"), "the second looks on")
    return process, first, second


def test_the_second_sends_only_when_the_first_is_killed(hosts):
    process, first, second = one_of_two(hosts)
    first.forget()
    until(first.sends, "the first goes on")
    assert not second.sends()

    process.kill()

    until(second.sends, "the second sends")


def test_one_that_hangs_loses_its_place_and_sends_nothing_when_it_is_back(hosts):
    process, first, second = one_of_two(hosts)

    os.kill(process.pid, signal.SIGSTOP)
    until(second.sends, "the second sends")
    first.forget()
    os.kill(process.pid, signal.SIGCONT)

    until(lambda: first.said("beat.interrupted"), "the first has noticed")
    assert first.sent() <= 1  # what it may have had in hand when it was stopped
    for host in hosts:
        host.forget()
    until(second.sends, "the second goes on")
    assert not first.sends()


def test_one_holds_again_after_every_connection_was_cut(hosts, url):
    one_of_two(hosts)

    with server(url) as connection:
        connection.execute(f"SELECT pg_terminate_backend(pid) {LOCKS}")
        until(lambda: any(host.said("beat.interrupted") for host in hosts), "it is noticed")
        until(
            lambda: connection.execute(f"SELECT count(*) {LOCKS}").fetchall() == [(1,)],
            "one holds again",
        )
        for host in hosts:
            host.forget()
        until(lambda: any(host.sends() for host in hosts), "somebody sends")


def test_one_that_reaches_no_broker_gives_way(hosts, tmp_path):
    cut_off, other = hosts
    cut_off.env |= {"BROKER_URL": "redis://127.0.0.1:1/0", "BEAT_PATIENCE": "1"}
    process = cut_off.start()
    until(lambda: cut_off.said("beat.holds"), "the first holds")

    other.start()

    until(other.sends, "the other sends")
    assert process.poll() is None


def test_the_beat_of_a_worker_ends_with_it(hosts, url):
    first, second = hosts
    worker = first.start(commands.worker(first.place))
    with server(url) as connection:
        until(
            lambda: connection.execute(f"SELECT count(*) {LOCKS}").fetchall() == [(1,)],
            "the worker's beat holds",
        )
        second.start()
        until(lambda: second.said("beat.stands_by"), "the second looks on")

        worker.kill()

        until(second.sends, "the second sends")
