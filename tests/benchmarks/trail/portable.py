"""
What a line of the exported table costs on SQLite, beside Django's iterator over the same events.

`python -m tests.benchmarks.trail.portable ROUNDS` fills a trail in memory, gives the events their
places, and prints the CPU seconds per line.
"""

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.benchmarks.paired import taken
from tests.benchmarks.trail.scratch import SQLITE, set_up

EVENTS: Final = 4_000
AGO: Final = timedelta(days=1)


def _main(rounds: int) -> None:
    set_up(SQLITE)
    from hospital.audit.exporting import selecting, tables  # noqa: PLC0415
    from tests.benchmarks.trail import filling, plainly  # noqa: PLC0415
    from tests.benchmarks.trail.sealing import drained  # noqa: PLC0415

    filling.fill(EVENTS, begin=datetime.now(UTC) - AGO)
    drained()

    def table() -> Iterator[bytes]:
        lines = tables.as_csv(selecting.Range(0, EVENTS), 0, EVENTS)
        next(lines)  # the head
        return lines

    sides = {"table": _turn(table), "iterator": _turn(plainly.iterated)}
    for turn in sides.values():
        turn()
    print(json.dumps(taken(sides, rounds=rounds, slices=1).seconds))


def _turn(lines: Callable[[], Iterator[bytes]]) -> Callable[[], float]:
    def turn() -> float:
        began = time.process_time()
        [(count, _)] = deque(enumerate(lines(), start=1), maxlen=1)
        assert count == EVENTS
        return (time.process_time() - began) / EVENTS

    return turn


if __name__ == "__main__":
    _main(int(sys.argv[1]))
