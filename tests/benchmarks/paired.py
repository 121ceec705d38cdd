"""
Ratios that mean something on a noisy machine: both sides back to back, in shuffled order.

A round gives every contestant its slices of CPU time, a few milliseconds each, so that what
else the machine does hits all of them alike. A ratio is taken within its round, and only the
quartiles decide. `measure` counts the CPU time of this process, `taken` whatever a side counts.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

Batch = Callable[[int], None]  # does the work so many times
Turn = Callable[[], float]  # works for a while; returns seconds per call, on its own clock

SLICES = 10  # for each contestant, in a round
LEAST = 5  # rounds under which quartiles say nothing


@dataclass(frozen=True)
class Rounds:
    """CPU seconds per call, by contestant, round by round."""

    seconds: Mapping[str, list[float]]

    def __len__(self) -> int:
        return len(next(iter(self.seconds.values())))

    def __add__(self, more: "Rounds") -> "Rounds":
        return Rounds({name: took + more.seconds[name] for name, took in self.seconds.items()})

    def ratio(self, one: str, other: str) -> "Quartiles":
        pairs = zip(self.seconds[one], self.seconds[other], strict=True)
        return Quartiles.of([a / b for a, b in pairs])

    def microseconds(self, name: str) -> float:
        return statistics.median(self.seconds[name]) * 1e6


@dataclass(frozen=True)
class Quartiles:
    q1: float
    median: float
    q3: float

    @classmethod
    def of(cls, values: list[float]) -> "Quartiles":
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


def each(act: Callable[[], object]) -> Batch:
    """Return the batch that calls `act`."""

    def batch(times: int) -> None:
        for _ in range(times):
            act()

    return batch


def measure(
    contestants: Mapping[str, Batch],
    *,
    rounds: int,
    slice: float,  # noqa: A002
    slices: int = SLICES,
) -> Rounds:
    """Warm all up, then let all run in each of `rounds`, in slices of so many CPU seconds."""
    times = {name: _times(batch, slice) for name, batch in contestants.items()}
    turns = {name: partial(_cpu, batch, times[name]) for name, batch in contestants.items()}
    return taken(turns, rounds=rounds, slices=slices)


def taken(sides: Mapping[str, Turn], *, rounds: int, slices: int) -> Rounds:
    """Let each side take so many turns in every round, in shuffled order."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    gc.collect()
    gc.disable()
    try:
        for _ in range(max(rounds, LEAST)):
            took = dict.fromkeys(sides, 0.0)
            for name in random.sample(list(sides) * slices, len(sides) * slices):
                took[name] += sides[name]()
            for name, total in took.items():
                seconds[name].append(total / slices)
            gc.collect()
    finally:
        gc.enable()
    return Rounds(seconds)


def _times(batch: Batch, seconds: float) -> int:
    batch(1)  # connections, imports, caches
    if _cpu(batch, 1) >= seconds:
        return 1
    batch(8)
    return max(1, round(seconds / _cpu(batch, 8)))


def _cpu(batch: Batch, times: int) -> float:
    began = time.process_time()
    batch(times)
    return (time.process_time() - began) / times
