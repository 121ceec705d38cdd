"""
A process that has imported everything and stands by: each command is a fork of it.

Importing takes seconds, and a test that kills processes starts dozens in one environment. A fork
is a process like any other: with its own end, and nothing remembered, since nothing ran before
it was forked.
"""

import atexit
import json
import os
import runpy
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 600.0  # seconds until a process that should end is given up
MOST = 3  # environments for which one stands by
SERVE = "from tests.standby import serve; serve()"


@dataclass
class Standby:
    """The side of who asks."""

    process: "subprocess.Popen[bytes]"

    @classmethod
    def begin(cls, environment: dict[str, str], imported: str) -> Self:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, imported],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        return cls(process)

    def run(self, command: tuple[str, ...], more: dict[str, str]) -> Any:
        """Return how it ended, as `subprocess.run` does."""
        assert self.process.stdin
        assert self.process.stdout
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            files = [f"/proc/{os.getpid()}/fd/{one.fileno()}" for one in (out, err)]
            asked = json.dumps({"command": command, "files": files, "more": more})
            self.process.stdin.write(asked.encode() + b"\n")
            self.process.stdin.flush()
            is_told, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            if not is_told:
                self.process.kill()
            assert is_told, f"{command} did not end"
            code = self.process.stdout.readline()
            assert code, "could not start: see above"
            said = []
            for file in (out, err):
                file.seek(0)
                said.append(file.read().decode())
        return subprocess.CompletedProcess(command, int(code), *said)

    def end(self) -> None:
        self.process.communicate()  # closes its input


_standing_by: dict[Any, Standby] = {}


def run(*command: str, environment: dict[str, str], imported: str) -> Any:
    """
    Run `-c` and a program, or a script, and return how it ended.

    :param imported: a module that is there already
    """
    # Where files are put, and who asks, does not matter to who only imports.
    more = {"TMPDIR": environment.get("TMPDIR", tempfile.gettempdir())}
    settled = {
        name: value
        for name, value in environment.items()
        if name not in {*more, "PYTEST_CURRENT_TEST"}
    }
    key = (imported, *sorted(settled.items()))
    if key not in _standing_by:
        while len(_standing_by) >= MOST:
            _standing_by.pop(next(iter(_standing_by))).end()
        _standing_by[key] = Standby.begin(settled, imported)
    return _standing_by[key].run(command, more)


@atexit.register
def _end_all() -> None:
    for one in _standing_by.values():
        one.end()


# The process that stands by.


def serve() -> None:
    import django  # noqa: PLC0415 (of this process only)

    django.setup()
    import_module(sys.argv[1])
    if command := _forked():
        _become(*command)


def _forked() -> list[str]:
    """Return what is to be run, in a process of its own; nothing when nobody asks any more."""
    told = os.dup(1)
    for line in sys.stdin:
        assert threading.active_count() == 1, "threads are not forked along"
        asked = json.loads(line)
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
            continue
        os.close(told)
        for number, path in enumerate(["/dev/null", *asked["files"]]):
            opened = os.open(path, os.O_RDWR | os.O_APPEND)
            os.dup2(opened, number)
            os.close(opened)
        os.environ.update(asked["more"])
        tempfile.tempdir = None
        atexit.unregister(shutil.rmtree)  # the place of the settings is everybody's
        command: list[str] = asked["command"]
        return command
    return []


def _become(first: str, *rest: str) -> None:
    if first == "-c":
        program, *rest = rest
        sys.argv = [first, *rest]
        exec(program, {"__name__": "__main__"})  # noqa: S102 (as `python -c` does)
        return
    sys.argv = [first, *rest]
    runpy.run_path(first, run_name="__main__")
