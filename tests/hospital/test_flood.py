import json

import pytest
from django.core.cache import cache
from django.db import Error
from django.utils import timezone

from hospital import tracing
from hospital.audit import flood, tasks
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import UNKNOWN, Actor
from hospital.errors import TrailUnavailable


def admit(source, **how):
    return flood.admit(source, Action.ACCESS_DENIED, **{"by": UNKNOWN, **how})


def told():
    """Return what the trail says was not recorded, oldest first."""
    flood.flush(at=timezone.now())
    return [json.loads(one.payload) for one in Event.objects.order_by("pk")]


class Clock:
    def __init__(self):
        self.now = 1_790_000_000.0

    def time(self):
        return self.now


@pytest.fixture
def clock(monkeypatch, db):
    clock = Clock()
    monkeypatch.setattr(flood, "time", clock)
    monkeypatch.setattr(flood, "RECORDED", 3)
    return clock


def test_a_bounded_number_is_recorded_per_window(clock):
    assert [admit("a") for _ in range(5)] == [0, 0, 0, None, None]


def test_the_next_record_says_how_many_were_not(clock):
    for _ in range(8):
        admit("a")
    clock.now += flood.WINDOW

    assert [admit("a"), admit("a")] == [5, 0]


def test_a_drip_does_not_keep_a_source_silent(clock):
    for _ in range(9):
        admit("a")
    for _ in range(5):
        clock.now += flood.WINDOW + 1
        assert admit("a") is not None


def test_one_source_does_not_silence_another(clock):
    for _ in range(9):
        admit("a")

    assert admit("b") == 0


def test_a_flood_that_nothing_follows_is_told_of_all_the_same(clock, chen):
    with tracing.resumed(tracing.Trace("", "192.0.2.7", "10.0.0.1")):
        for _ in range(8):
            admit("a", by=chen, on=chen, route="desk:find")
    assert told() == []  # it may go on

    clock.now += flood.WINDOW

    [event] = told()
    assert event["action"] == "access.denied"
    assert event["outcome"] == "denied"
    assert event["facts"] == {"route": "desk:find", "suppressed": 5}
    assert event["actor"] == {"type": "staff", "id": str(chen.pk), "role": chen.role}
    assert event["object"] == {"type": "accounts.staff", "id": str(chen.pk)}
    assert event["ctx"] == {"req": "", "ip": "192.0.2.7", "peer": "10.0.0.1"}
    assert len(told()) == 1


def test_what_the_next_event_said_is_not_said_twice(clock):
    for _ in range(8):
        admit("a")
    clock.now += flood.WINDOW

    assert admit("a") == 5
    assert told() == []


def test_a_flood_that_goes_on_is_told_of_when_it_ends(clock):
    for _ in range(8):
        admit("a")
    clock.now += flood.WINDOW
    assert [admit("a") for _ in range(7)] == [5, 0, 0, None, None, None, None]
    assert [event["facts"]["suppressed"] for event in told()] == []

    clock.now += flood.WINDOW

    assert [event["facts"]["suppressed"] for event in told()] == [4]


def test_floods_of_many_are_told_apart(clock):
    for one in range(20):
        for _ in range(4 + one):
            admit(f"source-{one}", by=Actor("terminal", str(one)))
    clock.now += flood.WINDOW

    said = {event["actor"]["id"]: event["facts"]["suppressed"] for event in told()}
    assert said == {str(one): 1 + one for one in range(20)}


def test_a_count_the_trail_cannot_take_waits(clock, monkeypatch):
    for _ in range(8):
        admit("a")
    clock.now += flood.WINDOW
    monkeypatch.setattr(Event, "save", lambda _event: (_ for _ in ()).throw(Error))
    with pytest.raises(TrailUnavailable):
        flood.flush(at=timezone.now())
    monkeypatch.undo()
    monkeypatch.setattr(flood, "time", clock)

    assert [event["facts"]["suppressed"] for event in told()] == [5]


def test_the_beat_sees_to_it(clock):
    for _ in range(8):
        admit("a")
    clock.now += flood.WINDOW

    tasks.watch()

    assert Event.objects.filter(action="access.denied").count() == 1
    assert cache.get("flood:a:suppressed") is None
