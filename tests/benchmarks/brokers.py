"""
What a yes waits for when the broker is gone, beside the same where it answers.

By the clock, one terminal at a time: waiting is all there is to it. A broker that hangs costs who
comes first some of their time, and then nobody for a while, which is waited out in each round.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final

from hospital.patience import REST
from tests.benchmarks.api import Ask, submission
from tests.benchmarks.lines import Line
from tests.benchmarks.paired import Quartiles
from tests.benchmarks.servers import Site
from tests.benchmarks.visitors import Visitors

ROUNDS: Final = {"quick": 5, "full": 15}
SOME: Final = 12  # yeses by each side in a round
PER_ROUND: Final = 5 * SOME

Say = Callable[[], float]  # says yes once; returns the seconds it took


def submissions(profile: str) -> int:
    """Return how many visits it needs."""
    return (ROUNDS[profile] + 2) * PER_ROUND


def lines(profile: str, site: Site) -> Iterator[Line]:
    """Measure both; the site has a server for each."""
    rounds, ask = ROUNDS[profile], submission(site)
    with (
        closing(Visitors(site.servers["project"].port, 1)) as up,
        closing(Visitors(site.servers["refused"].port, 1)) as refused,
        closing(Visitors(site.servers["hung"].port, 1)) as hung,
    ):
        says = [_saying(one, ask) for one in (up, refused, hung)]
        yield from _measured(*says, rounds=rounds)


def _measured(up: Say, refused: Say, hung: Say, *, rounds: int) -> Iterator[Line]:
    gone, dumb, firsts = list[float](), list[float](), list[float]()
    for _ in range(rounds + 1):
        gone.append(_beside(up, refused))
        time.sleep(REST)
        firsts.append(hung())
        dumb.append(_beside(up, hung))
    how = f"p50 by the clock, {rounds} rounds of {SOME}, PostgreSQL + RabbitMQ"
    yield Line("P4", "refused/broker_up", Quartiles.of(gone[1:]), how)
    yield Line("P4r", "hung_a_moment_ago/broker_up", Quartiles.of(dumb[1:]), how)
    how = f"by the clock, {rounds} times, at most {max(firsts[1:]):.2f}"
    yield Line("P4h", "first that finds it hung", Quartiles.of(firsts[1:]), how, "s")


def _beside(up: Say, other: Say) -> float:
    took: dict[Say, list[float]] = {up: [], other: []}
    for say in random.sample([up, other] * SOME, 2 * SOME):
        took[say].append(say())
    return statistics.median(took[other]) / statistics.median(took[up])


def _saying(visitors: Visitors, ask: Ask) -> Say:
    return lambda: visitors.ask([ask()]).latencies[0]
