"""What bringing somebody on record costs the worker, beside the cryptography nobody can avoid."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.benchmarks import scene
from tests.benchmarks.bare import Floor, digest
from tests.benchmarks.lines import Line
from tests.benchmarks.onboarding import stage
from tests.benchmarks.onboarding.lobby import THREADS
from tests.benchmarks.onboarding.stage import DELAY, THREADED, Stage
from tests.benchmarks.paired import Quartiles
from tests.benchmarks.servers import Services

PEOPLE: Final = {"quick": 60, "full": 200}  # in each part of a round
CROWD: Final = 4  # times as many where the clock counts: the first and the last wait for nobody
ROUNDS: Final = {"quick": 5, "full": 9}
COUNTED: Final = 10  # people, one after the other
FLOORS: Final = 60  # times, on both sides of what is put beside it

PREFORKED: Final = "-P prefork -c 8"  # the pool Celery has unless told otherwise


def lines(profile: str, on: Services) -> Iterator[Line]:
    """Measure all of it; yield each line as soon as it is known."""
    people, rounds = PEOPLE[profile], ROUNDS[profile]
    # One in process, one in Celery, two crowds; what warms up, and what is counted.
    parts = (2 + 2 * CROWD) * rounds + 8
    with (
        tempfile.TemporaryDirectory() as var,
        stage.opened(Path(var), on, people=parts * people) as here,
    ):
        yield from _measured(here, people, rounds)
        if profile == "full":
            yield _memory(here, people)
        here.assert_everybody_is_on_record()


def _measured(here: Stage, people: int, rounds: int) -> Iterator[Line]:
    floor = _floor()
    here.alone(people)
    alone = [_beside(floor, lambda: here.alone(people) / people) for _ in range(rounds)]
    where = f"{THREADS} threads, {DELAY * 1e3:.0f} ms upstream, PostgreSQL"
    how = f"cpu, {rounds} rounds of {people}, {where}"
    yield Line("P9", "onboard/rsa_and_sealing", Quartiles.of(alone), how)
    statements, operations = here.count(COUNTED)
    counted = f"count, the most of {COUNTED}, PostgreSQL"
    yield Line.one("C1", "rsa_operations", operations, counted, unit="")
    yield Line.one("C2", "statements", statements, counted, unit="")
    here.say("rest")
    here.add_worker()
    here.work(people)
    how = f"{how} + RabbitMQ"
    celery = [_beside(floor, lambda: here.work(people)[0] / people) for _ in range(rounds)]
    yield Line("P10", "onboard_in_celery/the_same", Quartiles.of(celery), how)
    crowd = CROWD * people
    one = [crowd / here.work(crowd)[1] for _ in range(rounds)]
    here.add_worker()
    here.work(2 * people)
    two = [crowd / here.work(crowd)[1] for _ in range(rounds)]
    clock = f"clock, {rounds} rounds of {crowd}, {where} + RabbitMQ"
    ideal = THREADS / DELAY
    yield Line("P11", "onboarded/ideal", Quartiles.of([rate / ideal for rate in one]), clock)
    ratios = [b / a for a, b in zip(one, two, strict=True)]
    yield Line("P11w", "two_workers/one", Quartiles.of(ratios), clock)
    here.end_workers()
    here.add_worker()
    here.carry(people)
    bare = [_beside(floor, lambda: here.carry(people) / people) for _ in range(rounds)]
    yield Line("P10l", "libraries_alone/the_same", Quartiles.of(bare), how)


def _memory(here: Stage, people: int) -> Line:
    """Have one of each kind do the same work, and see what it then holds."""
    held = []
    for pool in (THREADED, PREFORKED):
        here.end_workers()
        here.add_worker(pool)
        here.work(people)
        held.append(here.pss())
    how = f"PSS, {held[0]:.0f} MiB with {THREADS} threads, {held[1]:.0f} with 8 processes"
    return Line.one("P12", "worker's_memory/prefork-8", held[0] / held[1], how, unit="×")


def _beside(floor: Callable[[], float], measure: Callable[[], float]) -> float:
    """Return what was measured ÷ the floor, which is taken before it and after."""
    before = floor()
    found = measure()
    return found / ((before + floor()) / 2)


def _floor() -> Callable[[], float]:
    """Return how to take the floor: the CPU seconds of one sign, verify, two decrypts, sealing."""
    bare, key = Floor(scene.play()), AESGCM(bytes(32))
    index = digest(b"110101198001011234", "k" * 32)

    def take() -> float:
        began = time.process_time()
        for _ in range(FLOORS):
            bare.sign()
            bare.verify()
            bare.decrypt()
            for _ in range(2):
                key.encrypt(bytes(12), b"110101198001011234", b"where it is")
                index()
        return (time.process_time() - began) / FLOORS

    take()
    return take
