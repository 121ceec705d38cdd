"""Start, watch and stop the demo's processes. Each has a group and a log of its own."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 8.0  # seconds a process has to end by itself


class Died(Exception):
    """A process of the demo ended that should not have."""


@dataclass
class Processes:
    """What was started, and is stopped in reverse order whatever happens."""

    env: dict[str, str]
    cwd: Path
    logs: Path
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # name → more of an env
    started: list[tuple[str, "subprocess.Popen[bytes]"]] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        try:
            self._ask_to_end()
        finally:  # a second Ctrl-C means now, and not that anything is left running
            for _, process in self.started:
                _signal(process, signal.SIGKILL)  # also what a dead leader left in its group
                process.wait()

    def run(self, name: str, *command: str) -> None:
        """
        Run to the end.

        :raises Died: it failed; its log says why
        """
        process = self.start(name, *command)
        if process.wait():
            raise Died(self.last_words(name))
        self.started.remove((name, process))

    def start(
        self,
        name: str,
        *command: str,
        stdout: "int | IO[bytes] | None" = None,
        stderr: "int | IO[bytes] | None" = None,
    ) -> "subprocess.Popen[bytes]":
        # A signal between the child's birth and its name on the list would orphan it.
        with unbroken(), (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env={**self.env, **self.own.get(name, {})},
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log if stderr is None else stderr,
                start_new_session=True,
            )
            self.started.append((name, process))
        return process

    def check(self, *, but: "subprocess.Popen[bytes] | None" = None) -> None:
        """
        Look after everybody, `but` the one that may end by itself.

        :raises Died: one is not running any more
        """
        for name, process in self.started:
            if process is not but and process.poll() is not None:
                raise Died(self.last_words(name))

    def wait_for_port(self, port: int, *, seconds: float = 90) -> None:
        """
        Wait until something listens.

        :raises Died: a process ended, or time is up
        """
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.check()
            if not is_free(port):
                return
            time.sleep(0.05)
        raise Died(f"端口 {port} 在 {seconds:.0f} 秒内没有应答")

    def last_words(self, name: str) -> str:
        log = self.logs / f"{name}.log"
        tail = log.read_text(errors="replace").strip().splitlines()[-5:]
        return "\n".join([f"{name} 意外退出，见 {log}", *tail])

    def _ask_to_end(self) -> None:
        for _, process in reversed(self.started):
            _signal(process, signal.SIGTERM)
        until = time.monotonic() + GRACE
        for _, process in reversed(self.started):
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))


@contextmanager
def unbroken() -> Iterator[None]:
    """Hold back what would end us until the block is done; main thread only."""
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: held.append(number))
        for number in ENDINGS
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _signal(process: "subprocess.Popen[bytes]", number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
