"""When a worker takes a queue for one without a leader: often enough, and for long enough."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
from kombu import Connection, Consumer
from structlog.testing import capture_logs

from hospital import leaderless
from hospital.leaderless import PATIENCE, TIMES, Taker


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(leaderless, "time", clock)
    monkeypatch.setattr(Taker, "unanswered", [])
    return clock


@pytest.fixture
def made_anew(monkeypatch):
    made: list[object] = []
    monkeypatch.setattr(Taker, "_make_anew", lambda _taker, line: made.append(line))
    return made


@pytest.fixture
def taker():
    with Connection("memory://") as line, line.channel() as channel:
        yield Taker(channel, [])


def ask(taker: Taker, monkeypatch: pytest.MonkeyPatch, *, answered: bool) -> None:
    def consume(*_args: object) -> None:
        if not answered:
            raise TimeoutError

    with monkeypatch.context() as patch, suppress(TimeoutError):
        patch.setattr(Consumer, "consume", consume)
        taker.consume()


def test_a_queue_that_is_silent_for_long_is_made_anew(taker, clock, made_anew, monkeypatch):
    for _ in range(TIMES):
        assert not made_anew
        ask(taker, monkeypatch, answered=False)
        clock.now += PATIENCE / 2

    assert len(made_anew) == 1


def test_one_that_hung_for_a_minute_and_is_slow_once_more_is_left(
    taker, clock, made_anew, monkeypatch
):
    ask(taker, monkeypatch, answered=False)
    clock.now += 60
    ask(taker, monkeypatch, answered=False)

    assert not made_anew


def test_several_in_a_moment_are_an_election(taker, clock, made_anew, monkeypatch):
    for _ in range(3 * TIMES):
        ask(taker, monkeypatch, answered=False)
        clock.now += 1

    assert not made_anew


def test_an_answer_begins_the_count_anew(taker, clock, made_anew, monkeypatch):
    for _ in range(TIMES):
        ask(taker, monkeypatch, answered=False)
        ask(taker, monkeypatch, answered=True)
        clock.now += PATIENCE

    assert not made_anew


def test_who_cannot_take_it_away_says_so_and_goes_on(taker, clock):
    nobody = SimpleNamespace(
        transport_options={},
        clone=lambda **_options: Connection("amqp://127.0.0.1:1//", connect_timeout=1),
        connection_errors=(OSError,),
        channel_errors=(),
    )

    with capture_logs() as logs:
        taker._make_anew(nobody)

    assert [log["event"] for log in logs] == ["broker.queue_stays_without_leader"]
