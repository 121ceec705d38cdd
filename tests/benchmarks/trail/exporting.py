"""
What a table of the whole trail takes: how many lines a second, how much memory, how long a wait.

`python -m tests.benchmarks.trail.exporting URL ROUNDS` exports the trail that `sealing` left, to
nowhere, and prints lines a second, seconds to the first of them, and MiB on top of what there was.

PostgreSQL makes lines while this process takes them, so the CPU time of the busier one counts: what
else the machine does is not our pace.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Final

from tests.benchmarks.trail.scratch import left, peak, set_up

READ: Final = 500  # lines between two looks at the clock, which a connection takes with it


def _main(url: str, rounds: int) -> None:
    set_up(url)
    from hospital.audit.exporting import selecting, tables  # noqa: PLC0415

    def table(end: int) -> Iterator[bytes]:
        lines = tables.as_csv(selecting.Range(0, end), 0, end)
        next(lines)  # the head is made before anything is asked for
        return lines

    _export(table(1))  # connected, and everything imported
    before, size = peak(), selecting.signed()
    firsts, rates = zip(*(_export(table(size)) for _ in range(rounds)), strict=True)
    print(json.dumps({"rates": rates, "firsts": firsts, "grown": peak() - before}))
    left(url)


def _export(lines: Iterator[bytes]) -> tuple[float, float]:
    """Return after how many seconds the first line came, and how many a second there were."""
    from tests.benchmarks.trail import turns  # noqa: PLC0415

    began = time.perf_counter()
    next(lines)
    first = time.perf_counter() - began
    clocks = time.process_time, turns.cpu_of_copy()
    before, rate = [clock() for clock in clocks], 0.0
    for count, _ in enumerate(lines, start=1):
        if not count % READ:
            busier = max(clock() - was for clock, was in zip(clocks, before, strict=True))
            rate = count / busier
    return first, rate


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
