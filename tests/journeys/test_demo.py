"""`make demo`, run as a stranger would run it."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from hospital.demo.installation import ROOT
from tests.house import free_ports, processes_of, until, until_gone

LONGEST = 300  # seconds, for a machine that is busy with something else

Demo = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def var(tmp_path: Path) -> Path:
    return tmp_path / "var"


@pytest.fixture
def demo(var: Path) -> Iterator[Demo]:
    """Start the demo on free ports, in a directory of this test's own."""
    running: list[tuple[subprocess.Popen[str], threading.Timer]] = []

    def start(*extra: str, port: int = 0, sim_port: int = 0) -> "subprocess.Popen[str]":
        free = free_ports(2)
        ports = ["--port", str(port or free[0]), "--sim-port", str(sim_port or free[1])]
        process = subprocess.Popen(
            [sys.executable, "-m", "hospital.demo", "--var", str(var), *ports, *extra],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        watchdog = threading.Timer(LONGEST, process.kill)
        watchdog.start()
        running.append((process, watchdog))
        return process

    yield start
    for process, watchdog in running:
        watchdog.cancel()
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=LONGEST)
    for left in processes_of(var):
        os.kill(left, signal.SIGKILL)


def patients(var: Path) -> list[str]:
    with closing(sqlite3.connect(var / "hospital.sqlite3")) as database:
        rows = database.execute("SELECT number FROM patients_patient ORDER BY created_at")
        return [number for (number,) in rows]


def test_once_ends_with_a_patient_and_a_second_run_keeps_the_first(demo, var):
    kept: list[bytes] = []
    numbers = []
    for _ in range(2):
        once = demo("--once")
        said, errors = once.communicate(timeout=LONGEST)
        assert once.returncode == 0, errors
        visit = json.loads(said.strip().splitlines()[-1])
        assert visit["state"] == "onboarded"
        assert visit["seconds"] > 0  # from the scan to the record
        numbers.append(visit["patient"])
        kept.append((var / "keys" / "root.key").read_bytes() + (var / "logins.json").read_bytes())

    assert patients(var) == numbers
    assert kept[0] == kept[1]
    until_gone(var)


@pytest.mark.parametrize("variable", ["PORT", "SIM_PORT"])
def test_a_taken_port_is_named_with_the_variable_that_changes_it(demo, variable):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        refused = demo("--once", **{variable.lower(): port})
        _, errors = refused.communicate(timeout=LONGEST)

    assert refused.returncode == 1
    assert str(port) in errors
    assert f" {variable}=" in errors
    assert "Traceback" not in errors


def test_an_interrupt_stops_every_process_and_a_second_one_leaves_none_either(demo, var):
    lobby = demo()
    wait_for_line(lobby, "建档完成")
    assert len(processes_of(var)) >= 4

    lobby.send_signal(signal.SIGINT)
    until(lambda: "simulator" not in commands_of(var), "it is stopping")
    lobby.send_signal(signal.SIGINT)
    lobby.communicate(timeout=LONGEST)

    until_gone(var)


def test_a_stop_in_the_middle_of_the_setup_leaves_nothing_running(demo, var):
    begun = demo("--once")
    wait_for_line(begun, "[2/4]")
    until(lambda: "setupdemo" in commands_of(var), "the database is being set up")

    begun.terminate()
    begun.communicate(timeout=LONGEST)

    until_gone(var)


def wait_for_line(process: "subprocess.Popen[str]", text: str) -> None:
    """Read what it says until it says `text`; fail with its errors when it ends before."""
    assert process.stdout is not None
    assert process.stderr is not None
    if not any(text in line for line in process.stdout):
        pytest.fail(process.stderr.read())


def commands_of(var: Path) -> str:
    found = []
    for pid in processes_of(var):
        try:
            found.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:
            continue  # it ended meanwhile
    return " ".join(found)
