"""When a worker takes nothing although it could: what counts, and for how long it has to be so."""

import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone
from kombu import Connection

from faceauth import tasks
from hospital import begun_anew, watchdog
from hospital.audit.models import Event
from hospital.audit.times import micros
from hospital.celery import app
from hospital.leaderless import Taker
from hospital.watchdog import Received, Watch
from tests.settings import VAR

HANDS = 2


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch, settings):
    settings.WATCHDOG_SECONDS = 8
    clock = Clock()
    monkeypatch.setattr(watchdog, "time", clock)
    return clock


@pytest.fixture
def received():
    return Received()


def forget_messages() -> None:
    for message in (VAR / "broker").glob("*.msg"):
        message.unlink()


@pytest.fixture(autouse=True)
def empty_queue():
    forget_messages()
    yield
    forget_messages()


@pytest.fixture
def watch(received, clock, transactional_db):
    watch = Watch(SimpleNamespace(app=app, concurrency=HANDS), received)
    received.note()
    watch.look()
    return watch


def send() -> None:
    tasks.expire.delay()


def verdict(watch: Watch, clock: Clock, seconds: float = 8) -> Any:
    """Look every second, and once more."""
    for _ in range(int(seconds)):
        assert watch.look() is None
        clock.now += 1
    return watch.look()


def test_messages_that_wait_while_nothing_comes_are_told_of(watch, clock):
    send()
    send()

    assert verdict(watch, clock).ready == 2


def test_nothing_waits_and_nothing_is_told(watch, clock):
    assert verdict(watch, clock, 60) is None


def test_not_a_moment_sooner(watch, clock):
    send()

    assert verdict(watch, clock, 7) is None


def test_one_message_that_came_begins_the_time_anew(watch, clock, received):
    send()
    verdict(watch, clock, 7)

    received.note()

    assert verdict(watch, clock, 7) is None


def test_one_look_at_an_empty_queue_begins_the_time_anew(watch, clock):
    send()
    verdict(watch, clock, 7)
    forget_messages()
    watch.look()
    send()

    assert verdict(watch, clock, 7) is None


def test_who_has_no_hand_free_is_not_wedged(watch, clock, monkeypatch):
    send()
    monkeypatch.setattr(watchdog.state, "active_requests", set(range(HANDS)))

    assert verdict(watch, clock, 60) is None


def test_who_asks_to_take_and_is_not_answered_is_not_wedged(watch, clock, monkeypatch):
    send()
    monkeypatch.setattr(Taker, "unanswered", [0.0])

    assert verdict(watch, clock, 60) is None


def test_a_broker_that_does_not_answer_sends_nothing(received, clock, authorized):
    nowhere = SimpleNamespace(connection_for_write=lambda **_: Connection("amqp://127.0.0.1:1//"))
    watch = Watch(SimpleNamespace(app=nowhere, concurrency=HANDS), received)
    received.note()
    watch.look()
    overdue(authorized, seconds=60)

    assert verdict(watch, clock, 60) is None


def test_a_session_that_nobody_takes_is_told_of(watch, clock, authorized):
    overdue(authorized, seconds=11)

    assert verdict(watch, clock).due == 1


def test_one_that_is_due_since_a_moment_is_not(watch, clock, authorized):
    overdue(authorized, seconds=7)

    assert verdict(watch, clock) is None


def test_who_never_was_sent_anything_is_not_blamed_for_what_is_due(received, clock, authorized):
    """Their beat may be gone; to begin anew, again and again, would not bring it back."""
    watch = Watch(SimpleNamespace(app=app, concurrency=HANDS), received)
    overdue(authorized, seconds=60)

    assert verdict(watch, clock, 60) is None


def test_who_began_anew_says_so_once_when_the_trail_can_take_it(db, monkeypatch):
    at = timezone.now()
    begun_anew.leave_word(at=at, seconds=8.0, count=3)

    with monkeypatch.context() as full:
        full.setattr(Event, "save", no_room)
        begun_anew.tell()
    begun_anew.tell()
    begun_anew.tell()

    [event] = [json.loads(event.payload) for event in Event.objects.filter(action="worker.restart")]
    assert event["facts"] == {"seconds": 8, "count": 3}
    assert (event["actor"]["type"], event["t"]) == ("system", micros(at))


def no_room(_event: Any) -> None:
    raise OperationalError("could not extend file: No space left on device")


def overdue(session: Any, *, seconds: float) -> None:
    forget_messages()
    type(session).objects.filter(pk=session.pk).update(
        due_at=timezone.now() - timedelta(seconds=seconds)
    )
