"""RabbitMQ killed in the second its queue was made: nobody leads the queue then, for ever."""

import time
from contextlib import suppress

import pytest
from amqp.exceptions import InternalError, NotFound
from kombu import Connection, Consumer, Queue

from tests.house import until

pytestmark = pytest.mark.parametrize("hospital", ["rabbitmq"], indirect=True)

QUEUE = "hospital"
TRIES = 5  # to kill it in time; the second is RabbitMQ's, not ours
PATIENCE = 12.0  # seconds; RabbitMQ itself looks for the leader for five


def test_the_queue_is_made_anew_and_nobody_waits_for_ever(scene, told):
    hospital = scene.hospital
    broker, before = hospital.services.broker, told_of(hospital)
    hospital.kill("worker")
    visits = scene.crowd(2)
    for _ in range(TRIES):
        broker.flush()
        hospital.start("worker")
        kill_once_declared(broker)
        if not is_led(broker.url):
            break
        hospital.kill("worker")
    else:
        pytest.fail("RabbitMQ wrote down in time who leads its queue")
    began = time.monotonic()
    visits += scene.crowd(2)

    took = scene.recover(began=began)
    told(f"recovered in {took} s")
    assert told_of(hospital) == before + 1
    assert hospital.finished(visits)


def told_of(hospital) -> int:
    return hospital.said("broker.queue_without_leader", "worker")


def kill_once_declared(broker) -> None:
    with Connection(broker.url) as line:

        def is_there() -> bool:
            with suppress(NotFound), line.channel() as channel:
                channel.queue_declare(QUEUE, passive=True)
                return True
            return False

        until(is_there, "the worker declares its queue")
    broker.kill()
    broker.start()


def is_led(url: str) -> bool:
    """Return whether somebody may consume from the queue."""
    options = {"read_timeout": PATIENCE}
    with Connection(url, transport_options=options) as line:
        try:
            with Consumer(line, [Queue(QUEUE, no_declare=True)], auto_declare=False):
                return True
        except (TimeoutError, InternalError):  # it said nothing, or gave up
            line.collect()  # hung up on: to a goodbye it would not answer either
            return False
