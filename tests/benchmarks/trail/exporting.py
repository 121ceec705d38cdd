"""
What a table of the whole trail takes: how many lines a second, how much memory, how long a wait.

`python -m tests.benchmarks.trail.exporting URL ROUNDS` exports the trail that `sealing` left, to
nowhere, and prints lines a second, ours and `plainly`'s, seconds to the first of ours, what part
of the whole time that is (%), and MiB that ours took on top of what there was, and on top of what
10,000 lines took.

PostgreSQL makes lines while this process takes them, so the CPU time of the busier one counts: what
else the machine does is not our pace.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from tests.benchmarks.trail.scratch import left, peak, set_up

FEW: Final = 10_000  # lines
READ: Final = 500  # lines between two looks at the clock, which a connection takes with it

Clock = Callable[[], float]


class Taken(NamedTuple):
    """
    What one export took.

    :ivar first: seconds to its first line
    :ivar rate: lines a second of CPU
    :ivar whole: seconds to its last line
    """

    first: float
    rate: float
    whole: float


def _main(url: str, rounds: int) -> None:
    set_up(url)
    from hospital.audit.exporting import selecting, tables  # noqa: PLC0415
    from tests.benchmarks.trail import clocks, plainly  # noqa: PLC0415

    def table(end: int) -> Iterator[bytes]:
        lines = tables.as_csv(selecting.Range(0, end), 0, end)
        next(lines)  # the head is made before anything is asked for
        return lines

    def both() -> list[Clock]:
        return [time.process_time, clocks.cpu_of_copy()]

    _export(table(1), both)  # connected, and everything imported
    before, size = peak(), selecting.signed()
    _export(table(min(FEW, size)), both)
    with_few = peak()
    ours = [_export(table(size), both)]
    grown, more = peak() - before, peak() - with_few
    sides: dict[str, Callable[[], Taken]] = {
        "table": lambda: _export(table(size), both),
        "copy": lambda: _export(plainly.copied(), both),
        "iterator": lambda: _export(plainly.iterated(), lambda: [time.process_time]),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name in random.sample(list(sides), len(sides)):
            found = sides[name]()
            rates[name].append(found.rate)
            ours += [found] if name == "table" else []
    waits = {
        "firsts": [one.first for one in ours],
        "waits": [100 * one.first / one.whole for one in ours],
    }
    print(json.dumps({"rates": rates, **waits, "grown": grown, "more": more}))
    left(url)


def _export(lines: Iterator[bytes], clocks: Callable[[], list[Clock]]) -> Taken:
    began = time.perf_counter()
    next(lines)
    first = time.perf_counter() - began
    some = clocks()
    before, rate = [clock() for clock in some], 0.0
    for count, _ in enumerate(lines, start=1):
        if not count % READ:
            busier = max(clock() - was for clock, was in zip(some, before, strict=True))
            rate = count / busier
    return Taken(first, rate, time.perf_counter() - began)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
