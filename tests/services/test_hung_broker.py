"""A broker that keeps the line open and no longer answers: whoever publishes is let go."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from hospital.demo.installation import ROOT, Installation
from tests.services.test_whole_path import RABBITMQ, REDIS

pytestmark = pytest.mark.services

LONGEST = 30  # seconds; a failure, not a measurement
PUBLISH_TWICE = """
import sys, uuid, django
django.setup()
import hospital.celery
from faceauth.views import _ask_worker
from hospital.errors import Unavailable
_ask_worker(uuid.uuid4(), uuid.uuid4())
print("taken", flush=True)
sys.stdin.readline()
try:
    _ask_worker(uuid.uuid4(), uuid.uuid4())
except Unavailable:
    print("not taken", flush=True)
"""


class Line:
    """A connection to a broker, until it is hung up on without a word."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._there = (parts.hostname, parts.port)
        self._door = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._door]
        self.is_dead = False
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
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                if not self.is_dead:
                    target.sendall(piece)


@pytest.fixture(params=[RABBITMQ, f"{REDIS}/11"], ids=["rabbitmq", "redis"])
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    line = Line(request.param)
    yield line
    line.close()


def test_a_request_does_not_wait_for_a_broker_that_hangs(line, tmp_path):
    env = {**Installation(tmp_path, 1, 2).prepare(), "BROKER_URL": line.url}

    with subprocess.Popen(
        [sys.executable, "-c", PUBLISH_TWICE],
        cwd=ROOT,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as web:
        assert web.stdout.readline() == "taken\n"
        line.is_dead = True
        try:
            said, _ = web.communicate("go on\n", timeout=LONGEST)
        finally:
            web.kill()

    assert said == "not taken\n"
