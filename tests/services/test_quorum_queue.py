"""On a real RabbitMQ: what wakes workers lies on the disks of a majority, and is confirmed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from amqp.exceptions import PreconditionFailed
from kombu import Connection

from hospital.demo import commands
from hospital.demo.installation import ROOT, Installation
from tests.house import until
from tests.services.test_whole_path import RABBITMQ

pytestmark = pytest.mark.services

# A request would wait half a second, and the queue has yet to be made.
SEND = "import django; django.setup(); from hospital.celery import _patient; _patient(); "
SEND += "from faceauth import tasks; "
DELAYED = "celery_delayed_27"  # of the thirty for countdowns, which nobody here has


@pytest.fixture
def line() -> Iterator[Connection]:
    with Connection(RABBITMQ) as line:
        yield line


@pytest.fixture
def queue(line: Connection) -> Iterator[str]:
    name = f"tests-{uuid4()}"
    yield name
    with line.channel() as channel:
        channel.queue_delete(name)


@pytest.fixture
def env(queue: str, tmp_path: Path) -> dict[str, str]:
    place = Installation(tmp_path / "var", 1, 2)
    return {**place.prepare(), "BROKER_URL": RABBITMQ, "BROKER_QUEUE": queue, "LOG_LEVEL": "INFO"}


def ready(line: Connection, queue: str) -> int:
    with line.channel() as channel:
        return int(channel.queue_declare(queue, passive=True).message_count)


def send(env: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-c", SEND + "tasks.expire.delay()"], cwd=ROOT, env=env, check=True
    )


def test_the_queue_is_a_quorum_queue(line, queue, env):
    send(env)

    until(lambda: ready(line, queue) == 1, "it lies there")
    with pytest.raises(PreconditionFailed, match="x-queue-type"):
        line.channel().queue_declare(queue, durable=True, auto_delete=False)


def test_a_worker_takes_from_it_with_a_prefetch_count_of_its_own(line, queue, env, tmp_path):
    send(env)
    command = commands.worker(Installation(tmp_path / "var", 1, 2))
    words = ["INFO" if word == "WARNING" else word for word in command if word != "--beat"]
    log = tmp_path / "log"
    with (
        log.open("wb") as out,
        subprocess.Popen(words, cwd=ROOT, env=env, stdout=out, stderr=out) as worker,
    ):
        try:
            until(lambda: "Global QoS is disabled" in log.read_text(), "it has seen which kind")
            until(lambda: ready(line, queue) == 0, "it takes")
        finally:
            worker.kill()

    with line.channel() as channel, pytest.raises(line.channel_errors, match="no queue"):
        channel.queue_declare(DELAYED, passive=True)
