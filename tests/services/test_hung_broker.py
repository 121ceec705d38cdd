"""A broker that keeps the line open and no longer answers: whoever publishes is let go."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from kombu import Connection

from hospital.demo.installation import ROOT, Installation
from tests.house import until
from tests.services.test_whole_path import RABBITMQ, REDIS

pytestmark = pytest.mark.services

HALF_A_SECOND = 0.5
QUEUE = "tests-hung-broker"
TELL = """
import json, django
django.setup()
from hospital.celery import _patient, app
def waits():
    options = app.conf.broker_transport_options
    named = [value for name, value in options.items() if name.endswith("timeout")]
    return [app.conf.broker_connection_timeout, *(one for one in named if one < 60)]
requests = waits()
_patient()
print(json.dumps([requests, waits()]))
"""
LONGEST = 180  # seconds; a failure, not a measurement
PUBLISH = """
import sys, uuid, django
django.setup()
import hospital.celery
from faceauth.views import _ask_worker
from hospital.errors import Unavailable
for _ in sys.stdin:
    try:
        _ask_worker(uuid.uuid4(), uuid.uuid4())
        print("taken", flush=True)
    except Unavailable:
        print("not taken", flush=True)
"""
GOODBYE = b"\x00\x14\x00\x28"  # AMQP's channel.close, to which an answer is awaited


class Line:
    """A connection to a broker, until it is hung up on without a word."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._there = (parts.hostname, parts.port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._door]
        self._near: set[socket.socket] = set()
        self.is_dead = False
        self.unanswered = b""  # what was said to it since
        here = f"127.0.0.1:{self._door.getsockname()[1]}"
        self.url = url.replace(f"{parts.hostname}:{parts.port}", here)
        threading.Thread(target=self._answer, daemon=True).start()

    def close(self) -> None:
        for one in self._sockets:
            one.close()

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                far = socket.create_connection(self._there)
                self._sockets += [near, far]
                self._near.add(near)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                if not self.is_dead:
                    target.sendall(piece)
                elif source in self._near:
                    self.unanswered += piece


@pytest.fixture(params=[RABBITMQ, f"{REDIS}/11"], ids=["rabbitmq", "redis"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    line = Line(request.param)
    yield line
    line.close()
    with Connection(request.param) as broker:
        broker.default_channel.queue_delete(QUEUE)


@pytest.fixture
def web(line: Line, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    env = {**Installation(tmp_path, 1, 2).prepare(), "BROKER_URL": line.url, "BROKER_QUEUE": QUEUE}
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISH],
        cwd=ROOT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        give_up = threading.Timer(LONGEST, process.kill)
        give_up.start()
        try:
            yield process
        finally:
            give_up.cancel()
            process.kill()


def publish(web: "subprocess.Popen[str]") -> str:
    web.stdin.write("go on\n")
    web.stdin.flush()
    return web.stdout.readline().strip()


def be_taken(web: "subprocess.Popen[str]") -> None:
    """Where half a second was not enough to make the queue, it is asked again."""
    until(lambda: publish(web) == "taken", "the broker takes it")


def test_a_request_does_not_wait_for_a_broker_that_hangs(line, web, capsys):
    be_taken(web)

    line.is_dead, began = True, time.monotonic()

    assert publish(web) == "not taken"
    with capsys.disabled():
        print(f"\na broker that hangs: {time.monotonic() - began:.2f} s of a request")
    assert GOODBYE not in line.unanswered


def test_the_requests_after_it_do_not_ask(line, web):
    be_taken(web)
    line.is_dead = True
    publish(web)
    said = line.unanswered

    assert publish(web) == "not taken"
    assert line.unanswered == said


def test_it_is_asked_again_when_it_may_have_recovered(line, web):
    be_taken(web)
    line.is_dead = True
    publish(web)

    line.is_dead = False

    until(lambda: publish(web) == "taken", "it is asked again")


@pytest.mark.parametrize("url", ["amqp://rabbitmq//", "redis://redis/0"])
def test_no_wait_of_a_request_is_longer_than_half_a_second(url, tmp_path):
    """And of who works for it, longer: a worker asks a Redis for a second each time."""
    env = {**Installation(tmp_path, 1, 2).prepare(), "BROKER_URL": url}
    told = subprocess.run(
        [sys.executable, "-c", TELL], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )

    requests, work = json.loads(told.stdout)
    assert max(requests) <= HALF_A_SECOND
    assert min(work) > 1
