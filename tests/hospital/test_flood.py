import pytest

from hospital.audit import flood


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
    assert [flood.admit("a") for _ in range(5)] == [0, 0, 0, None, None]


def test_the_next_record_says_how_many_were_not(clock):
    for _ in range(8):
        flood.admit("a")
    clock.now += flood.WINDOW

    assert [flood.admit("a"), flood.admit("a")] == [5, 0]


def test_a_drip_does_not_keep_a_source_silent(clock):
    for _ in range(9):
        flood.admit("a")
    for _ in range(5):
        clock.now += flood.WINDOW + 1
        assert flood.admit("a") is not None


def test_one_source_does_not_silence_another(clock):
    for _ in range(9):
        flood.admit("a")

    assert flood.admit("b") == 0
