"""What a beat sends when it begins to hold, and when a clock is set, or no broker is there."""

from datetime import timedelta
from typing import Any

import pytest
from celery.schedules import crontab
from django.core.cache import cache

from hospital import beating
from hospital.beating import OneOfMany
from hospital.celery import app

NIGHTLY, OFTEN = "nightly", "often"
SCHEDULE = {
    NIGHTLY: {"task": "faceauth.tasks.expire", "schedule": crontab(hour=1, minute=10)},
    OFTEN: {"task": "faceauth.tasks.wake_due", "schedule": 1.0},
}


def unsent(because: Exception) -> beating.SchedulingError:
    """As Celery says it: while it handles what happened."""
    error = beating.SchedulingError()
    error.__context__ = because
    return error


class Sent(OneOfMany):
    """Remembers what it would send; `broker` may be away."""

    def setup_schedule(self) -> None:
        self.sent: list[str] = []
        self.broker_is_there = True
        self.merge_inplace(SCHEDULE)

    def apply_async(self, entry: Any, **_kwargs: Any) -> None:
        if not self.broker_is_there:
            raise unsent(OSError())
        self.sent.append(entry.name)

    def run(self, times: int = 4) -> list[str]:
        for _ in range(times):
            self.tick()
        return self.sent


@pytest.fixture(autouse=True)
def forgotten(db, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    cache.clear()


@pytest.fixture
def beat():
    beat = Sent(app)
    yield beat
    beat.close()


def long_ago(beat: OneOfMany, name: str, **ago: float) -> Any:
    return beat.schedule[name].default_now() - timedelta(**ago)


def test_a_night_that_fell_between_two_beats_is_made_up_for(beat):
    cache.set(f"beat:{NIGHTLY}", long_ago(beat, NIGHTLY, days=2))

    assert NIGHTLY in beat.run()
    assert beat.sent.count(NIGHTLY) == 1


def test_what_ran_is_not_run_again_by_the_next(beat):
    cache.set(f"beat:{NIGHTLY}", long_ago(beat, NIGHTLY, days=2))
    beat.run()
    beat.close()

    following = Sent(app)

    assert NIGHTLY not in following.run()
    following.close()


def test_the_first_of_all_beats_does_not_run_every_night_there_ever_was(beat):
    assert NIGHTLY not in beat.run()
    assert cache.get(f"beat:{NIGHTLY}")


def test_of_two_one_sends(beat):
    beat.tick()
    other = Sent(app)
    other._parent = beat._parent

    other.schedule[OFTEN].last_run_at = long_ago(other, OFTEN, minutes=1)

    assert other.run() == []


def test_what_no_broker_took_is_sent_when_it_is_back(beat):
    cache.set(f"beat:{NIGHTLY}", long_ago(beat, NIGHTLY, days=2))
    beat.broker_is_there = False
    assert beat.run() == []
    beat.broker_is_there = True

    assert NIGHTLY in beat.run()


def test_a_clock_that_is_set_back_stops_nothing(beat, monkeypatch):
    beat.run(1)
    beat.schedule[OFTEN].last_run_at += timedelta(hours=1)  # when the clock was wrong
    beat._heap = None
    assert OFTEN not in beat.run()

    monkeypatch.setattr(beat, "_clock", beat._clock + 3600)
    beat.tick()

    assert beat.schedule[OFTEN].last_run_at <= beat.schedule[OFTEN].default_now()


def test_a_message_that_cannot_be_sent_at_all_keeps_nothing_else_from_being_sent(
    beat, monkeypatch, settings
):
    settings.BEAT_PATIENCE = 0  # who reaches no broker gives way at once
    cache.set(f"beat:{NIGHTLY}", long_ago(beat, NIGHTLY, days=2))
    beat.schedule[OFTEN].last_run_at = long_ago(beat, OFTEN, minutes=1)
    send = beat.apply_async

    def fails(entry, **kwargs):
        if entry.name == OFTEN:
            raise unsent(TypeError())
        send(entry, **kwargs)

    monkeypatch.setattr(beat, "apply_async", fails)

    assert NIGHTLY in beat.run()
    assert beat._is_ours
