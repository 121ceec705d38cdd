"""A broker that restarts, forgets, hangs or is away: a 202 is a 202, and nobody waits for it."""

import json
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pytest

from tests.faults.hospital import Hospital
from tests.house import Visit

MINUTE = 60.0  # seconds it says nothing, or nobody listens there
# Seconds that those who ask the broker wait for it; and that any request takes on a machine that
# is busy with five servers. One that waited for the broker would take as long as it is away.
FOR_THE_BROKER = 0.5
LONGEST = 5.0


class Wait:
    """What requests took while a broker was of no use, as their web wrote it down."""

    def __init__(self, hospital: Hospital) -> None:
        self._log = hospital.place.logs / "web.log"
        self._began = len(self._log.read_bytes())

    @property
    def slowest(self) -> float:
        """Seconds of the slowest request."""
        return max(self._took(lambda line: line.get("route") == "authorization"))

    @property
    def asked(self) -> float:
        """Seconds that half of those who asked the broker waited for it, at most."""
        return median(self._took(lambda line: line.get("event") == "asked the broker"))

    def _took(self, is_it: Callable[[dict[str, Any]], bool]) -> list[float]:
        text = self._log.read_bytes()[self._began :].decode()
        told = (json.loads(line) for line in text.splitlines() if line.startswith("{"))
        return [line["ms"] / 1000 for line in told if is_it(line)]

    def demand_none(self) -> None:
        """Nobody waited: the slowest is this machine's doing, the half of them is not."""
        assert self.asked <= FOR_THE_BROKER
        assert self.slowest < LONGEST

    def __str__(self) -> str:
        return f"slowest request {self.slowest:.2f} s, {self.asked:.2f} s of each for the broker"


@pytest.fixture
def wait(scene) -> Iterator[Wait]:
    """A web that says how long it waits for the broker, and a terminal that has its authinfo."""
    hospital = scene.hospital
    hospital.kill("web")
    hospital.start("web", app="tests.faults.timed:application")
    hospital.up("web")
    scene.crowd(1)
    yield Wait(hospital)
    hospital.kill("web")


def test_it_restarts_and_workers_work_again(scene, told):
    scene.crowd(2)
    began = time.monotonic()

    scene.hospital.services.broker.restart()
    up = time.monotonic()
    scene.crowd(3)

    took = scene.recover(began=up)
    told(f"back after {up - began:.1f} s, recovered in {took} s more")


def test_it_forgets_everything(scene, told):
    scene.hospital.kill("worker")
    scene.hospital.kill("beat")
    scene.crowd(3)

    scene.hospital.services.broker.flush()
    began = time.monotonic()
    scene.hospital.up("worker", "beat")

    told(f"recovered in {scene.recover(began=began)} s")


def test_it_says_nothing_for_a_minute_and_no_request_waits_for_it(scene, wait, told):
    scene.hospital.services.broker.hang()
    visits = come_for_a_minute(scene)
    scene.hospital.services.broker.go_on()

    took = scene.recover(began=time.monotonic())
    told(f"{len(visits)} came in a minute, {wait}, recovered in {took} s")
    wait.demand_none()


def test_it_is_away_for_a_minute_and_no_request_waits_for_it(scene, wait, told):
    scene.hospital.services.broker.kill()
    visits = come_for_a_minute(scene)
    scene.hospital.services.broker.start()

    took = scene.recover(began=time.monotonic())
    told(f"{len(visits)} came in a minute, {wait}, recovered in {took} s")
    wait.demand_none()


def come_for_a_minute(scene) -> list[Visit]:
    """Have people come while nobody can be served, and see that they wait."""
    over = time.monotonic() + MINUTE
    visits = scene.crowd(4)
    while time.monotonic() < over:
        visits += scene.crowd(1)
        time.sleep(1)
    states = scene.hospital.states()
    assert {states[visit.session] for visit in visits[-4:]} == {"authorized"}
    return visits
