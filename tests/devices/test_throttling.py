"""How many requests a terminal may make, and how it is told."""

import re
import threading

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.utils import timezone

from devices import counting, suspension, throttling

STATE = re.compile(r'"default";r=(\d+);t=(\d+)')


@pytest.fixture
def four_a_minute(monkeypatch):
    monkeypatch.setattr(throttling.TerminalThrottle, "THROTTLE_RATES", {"terminal": "4/min"})
    monkeypatch.setattr(throttling.time, "time", lambda: 1_800_000_015.5)


def test_every_answer_says_what_is_left(kiosk, notice, four_a_minute):
    answers = [kiosk.get("notice/"), kiosk.post("face-sessions/", {}), kiosk.get("notice/")]

    assert [answer.status_code for answer in answers] == [200, 422, 200]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"default";q=4;w=60'}
    stated = [STATE.fullmatch(answer.headers["RateLimit"]).groups() for answer in answers]
    assert stated == [("3", "45"), ("2", "45"), ("1", "45")]


def test_beyond_the_limit_an_answer_says_when_to_come_back(kiosk, notice, four_a_minute):
    for _ in range(4):
        kiosk.get("notice/")

    answer = kiosk.get("notice/")

    assert answer.status_code == 429
    assert answer.json()["code"] == "throttled"
    assert answer.headers["Retry-After"] == "45"
    assert answer.headers["RateLimit"] == '"default";r=0;t=45'


def test_the_next_window_begins_anew(kiosk, notice, four_a_minute, monkeypatch):
    for _ in range(5):
        kiosk.get("notice/")
    monkeypatch.setattr(throttling.time, "time", lambda: 1_800_000_061.0)

    assert kiosk.get("notice/").status_code == 200


def test_one_terminal_does_not_use_up_anothers_share(kiosk, install, notice, four_a_minute):
    for _ in range(5):
        kiosk.get("notice/")

    assert install("T-2").get("notice/").status_code == 200


def test_a_suspended_terminal_is_counted_as_well(kiosk, notice, lin, four_a_minute):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="待修")

    answers = [kiosk.get("notice/") for _ in range(5)]

    assert [answer.status_code for answer in answers] == [403] * 4 + [429]
    assert answers[0].headers["RateLimit"] == '"default";r=3;t=45'


def test_counting_asks_the_database_once(db, django_assert_num_queries):
    with django_assert_num_queries(1):
        counting.count("a", seconds=60)


def test_counts_are_apart_and_in_order(db):
    counted = [counting.count(name, seconds=60) for name in "aabaab"]

    assert counted == [1, 2, 1, 3, 4, 2]


def test_in_memory_counts_are_kept_apart_and_in_order(monkeypatch):
    memory = LocMemCache("counting", {})
    monkeypatch.setattr(counting, "caches", {"default": memory})

    assert [counting.count(name, seconds=60) for name in "aab"] == [1, 2, 1]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_none_of_many_at_once_is_lost():
    counted, together = [], threading.Barrier(8)

    def work():
        together.wait()
        counted.extend(counting.count("together", seconds=60) for _ in range(25))
        caches.close_all()
        counting.connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(counted) == list(range(1, 201))
