"""Asking the parts, all at once: none waits for another, and none keeps whoever asks for long."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from datetime import timedelta
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar

from django.db import Error, connections
from health_check.base import HealthCheck, HealthCheckResult
from health_check.exceptions import HealthCheckException

from hospital.operations.part import Part
from hospital.operations.verdicts import NOTHING, Amiss, Finding, Verdict, Words

T = TypeVar("T")

_SILENT: Final = Words("没有及时应答", "did not answer in time, or not in a way that is understood")
_UNEXAMINED: Final = Words(
    "没有检查：数据库没有应答，或没有所需的表",
    "not examined: the database does not answer, or lacks a table",
)
_DATABASE_FIRST: Final = Words(
    "先处理“数据库”和“数据库版本和表”", "see to the database, and to its version and tables, first"
)


class _WithoutDatabase(HealthCheckException):
    """A part could not look: its own remedy would send people the wrong way."""


class _Desk(Executor):
    """
    The one thread that asks a part.

    One that hangs is waited for by this thread alone, however often somebody else asks meanwhile;
    those questions are dropped when they are too late.
    """

    def __init__(self, name: str) -> None:
        self._todo: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        # A daemon, which concurrent.futures' own are not: no process stays for one that hangs.
        Thread(target=self._serve, name=f"asks-{name}", daemon=True).start()

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        future: Future[T] = Future()
        self._todo.put((future, partial(fn, *args, **kwargs)))
        return future

    def _serve(self) -> None:
        while True:
            future, run = self._todo.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(_letting_go(run))
            except BaseException as exc:  # noqa: BLE001 (whoever asked is told)
                future.set_exception(exc)


_desks: dict[str, _Desk] = {}
_lock: Final = Lock()


def ask(parts: Sequence[Part], *, patience: timedelta = timedelta()) -> list[Finding]:
    """
    Return what the parts say, in their order; one or more findings each.

    :param patience: that each has at least, for who is no probe and begins with cold caches
    """
    for part in parts:
        part.timeout = max(part.timeout, patience)
    results = asyncio.run(_gathered(parts))
    return [finding for result in results for finding in _findings(result)]


async def _gathered(parts: Sequence[Part]) -> list[HealthCheckResult]:
    return await asyncio.gather(*(part.get_result(_desk(part.name)) for part in parts))


def _desk(name: str) -> _Desk:
    with _lock:
        if name not in _desks:
            _desks[name] = _Desk(name)
        return _desks[name]


def _letting_go(run: Callable[[], T]) -> T:
    """Do it, and give the thread's connections back: to a pool they are few."""
    try:
        return run()
    except Error:
        raise _WithoutDatabase("") from None
    finally:
        connections.close_all()


def _findings(result: HealthCheckResult) -> Iterator[Finding]:
    part = _part(result.check)
    if isinstance(result.error, Amiss):
        for verdict, said, remedy in result.error.findings:
            yield Finding(part.name, verdict, said, remedy)
    elif isinstance(result.error, _WithoutDatabase):
        yield Finding(part.name, part.silent, _UNEXAMINED, _DATABASE_FIRST)
    elif result.error is not None:
        yield Finding(part.name, part.silent, _SILENT, part.remedy)
    else:
        yield Finding(part.name, Verdict.OK, part.told, NOTHING)


def _part(check: HealthCheck) -> Part:
    assert isinstance(check, Part)  # noqa: S101 (nothing else is asked)
    return check
