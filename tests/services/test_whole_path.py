"""The whole path on what a hospital runs it on: PostgreSQL, RabbitMQ or Redis, a Redis cache."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kombu import Connection

from tests.house import House, postgresql, until

pytestmark = pytest.mark.services

POSTGRESQL = os.environ.get("TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")
RABBITMQ = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379")
QUEUE = "hospital"
CROWD = 6
SLOW = 0.5  # seconds WeChat takes to answer


@pytest.fixture(params=[RABBITMQ, f"{REDIS}/11"], ids=["rabbitmq", "redis"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    services = {"BROKER_URL": request.param, "CACHE_URL": f"{REDIS}/12", "DATABASE_POOL": "6"}
    with (
        postgresql(POSTGRESQL) as url,
        House.built(tmp_path / "var", DATABASE_URL=url, **services) as house,
    ):
        forget_messages(request.param)
        house.start("web")
        house.equip()
        yield house
        house.kill("web")
        house.kill("worker")
        forget_messages(request.param)


def forget_messages(broker: str) -> None:
    """Empty the queue: the broker is shared with whatever ran before."""
    with Connection(broker) as line, suppress(*line.channel_errors):  # it may not be there yet
        line.default_channel.queue_purge(QUEUE)


def test_a_worker_is_killed_and_everybody_is_on_record_once(house, capsys):
    house.weather("slow", times=1000, endpoint="users", seconds=SLOW)
    with house.lobby() as lobby:
        visits = [lobby.authorize(f"stranger-{n}") for n in range(CROWD)]
        house.start("worker")
        until(house.asked, "there is work in hand")
        house.kill("worker")
        visits += [lobby.authorize(f"stranger-{n}") for n in range(CROWD, 2 * CROWD)]
    house.start("worker")

    # Leases run out by themselves here: ten seconds, as in a hospital.
    until(lambda: house.finished(visits), "everybody is dealt with", seconds=180)

    house.assert_on_record_once(visits)
    asked = sum(house.asked_about(visit) for visit in visits)
    with capsys.disabled():
        print(f"\n{len(visits)} sessions, kill -9: {asked / len(visits):.2f} questions for each")
