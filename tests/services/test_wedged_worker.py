"""Redis is killed under load and comes back: the worker lives, takes nothing, and is noticed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis as Client

from tests.faults.servers import Redis, is_installed
from tests.house import House, until

pytestmark = [
    pytest.mark.services,
    pytest.mark.skipif(bool(is_installed(Redis)), reason=is_installed(Redis) or "is there"),
]

QUEUE = "hospital"
HANDS = 4  # of the demo's worker
SLOW = 1.0  # seconds WeChat takes to answer
PILED_UP = 5  # messages of a beat that goes on, with nobody there to take them


@pytest.fixture
def redis() -> Iterator[Redis]:
    with Redis.running() as redis:
        yield redis


@pytest.fixture
def house(redis: Redis, tmp_path: Path) -> Iterator[House]:
    unremote = {"DJANGO_SETTINGS_MODULE": "tests.services.unremote"}
    with House.built(tmp_path / "var", BROKER_URL=f"{redis.url}/0") as house:
        house.processes.own = {**house.place.own, "worker": house.place.own["worker"] | unremote}
        house.start("web")
        house.equip()
        yield house


def test_a_worker_that_takes_nothing_any_more_begins_anew(house, redis, capsys):
    house.weather("slow", times=1000, endpoint="users", seconds=SLOW)
    with house.lobby() as lobby:
        house.start("worker")
        visits = [lobby.authorize(f"stranger-{n}") for n in range(3 * HANDS)]
        until(lambda: len(house.asked()) >= HANDS, "every hand has something to do")
        before = house.processes.started[-1][1]

        redis.kill()
        until(lambda: _couldnt_ack(house) >= HANDS, "no hand could give back what it held")
        redis.start()
        began = time.monotonic()

    with Client(port=redis.port) as client:
        until(lambda: client.llen(QUEUE) >= PILED_UP, "messages pile up")
    assert before.poll() is None
    assert not house.finished(visits)

    until(lambda: house.finished(visits), "everybody is dealt with")

    assert before.poll() is None  # the same process, under whatever supervises it
    assert _log(house).count("watchdog.restarts") == 1
    until(lambda: house.trail("worker.restart"), "the trail tells of it")
    house.assert_on_record_once(visits)
    with capsys.disabled():
        print(
            f"\na wedged worker: everybody done {time.monotonic() - began:.1f} s after the broker"
        )


def _couldnt_ack(house: House) -> int:
    return _log(house).count("Couldn't ack")


def _log(house: House) -> str:
    return (house.place.logs / "worker.log").read_text()
