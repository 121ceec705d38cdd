"""How a worker looks for a broker that is away: often, and for as long as it takes."""

from itertools import chain, repeat

import pytest

from hospital.celery import app
from tests.house import free_ports


class Enough(Exception):
    """It would go on for ever."""


def test_it_looks_every_two_seconds_however_long(monkeypatch):
    pauses = []

    def noted(_error, interval):
        pauses.append(interval)
        if len(pauses) == 8:
            raise Enough

    monkeypatch.setattr("kombu.utils.functional.sleep", lambda _seconds: None)
    [port] = free_ports(1)
    line = app.amqp.Connection(f"amqp://127.0.0.1:{port}//", connect_timeout=1)
    with line, pytest.raises(Enough):
        line.ensure_connection(noted, app.conf.broker_connection_max_retries)

    assert pauses == list(chain([0.5, 1.0, 1.5], repeat(2.0, 5)))
    assert app.conf.broker_connection_max_retries is None
