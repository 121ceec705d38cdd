"""SIGTERM, as a supervisor sends it: what is in hand is finished, and what is not begun is left."""

import os
import signal
import threading
from collections.abc import Callable

import pytest

from devices.agent.api import Session
from tests.house import House, until

SLOW = 2.0  # seconds WeChat takes to answer
HANDS = 4  # of the demo's worker
ROUNDS = 6  # of work for them: some is left, should this process come late to stop the worker
POLL = 5  # seconds a terminal waits for news
PATIENCE = 60  # seconds


@pytest.fixture
def stopped(house: House):
    yield
    for name in ("web", "worker"):
        if name in house.running:
            house.kill(name)


def stop(house: House, name: str, *, told: Callable[[int, int], None] = os.kill) -> int:
    """Return the exit code of who was asked to end."""
    group = house.running.pop(name)
    [entry] = [entry for entry in house.processes.started if entry[1].pid == group]
    told(group, signal.SIGTERM)
    code = entry[1].wait(PATIENCE)
    house.processes.started.remove(entry)
    return code


@pytest.mark.parametrize(
    ("told", "person"),
    [
        pytest.param(os.kill, "stranger-800", id="the first, as by Docker"),
        pytest.param(os.killpg, "stranger-801", id="all, as by systemd"),
    ],
)
@pytest.mark.usefixtures("stopped")
def test_a_terminal_that_waits_gets_its_answer_from_a_web_that_is_stopped(house, told, person):
    house.start("web")
    house.equip()
    with house.lobby() as lobby:
        visit = lobby.authorize(person)
        answers: list[Session] = []

        def poll() -> None:
            answers.append(lobby.server.watch(Session(visit.session, "authorized"), wait=POLL))

        waits, before = threading.Thread(target=poll), _nonces(house)
        waits.start()
        until(lambda: _nonces(house) > before, "its request is there")

        code = stop(house, "web", told=told)
        waits.join(PATIENCE)

    assert code == 0
    assert [answer.state for answer in answers] == ["authorized"]


@pytest.mark.usefixtures("stopped")
def test_a_worker_that_is_stopped_finishes_what_it_asked_wechat(house):
    house.start("web")
    house.equip()
    house.weather("slow", times=1000, endpoint="users", seconds=SLOW)
    before = sum(house.asked().values())
    with house.lobby() as lobby:
        visits = [lobby.authorize(f"stranger-{810 + n}") for n in range(ROUNDS * HANDS)]
        house.start("worker")
        until(lambda: sum(house.asked().values()) > before, "there is work in hand")

        code = stop(house, "worker")

    ends = {end.session: end for end in house.ends()}
    done = [visit for visit in visits if ends[visit.session].state == "onboarded"]
    left = [visit for visit in visits if ends[visit.session].state == "authorized"]
    assert code == 0
    assert done
    assert left
    assert len(done) + len(left) == len(visits)
    # Nobody was asked about and then left to be asked about once more.
    assert [house.asked_about(visit) for visit in done] == [1] * len(done)
    assert [house.asked_about(visit) for visit in left] == [0] * len(left)

    house.clear_weather()
    house.start("worker")
    until(lambda: house.finished(visits), "the next one finishes")
    house.assert_on_record_once(visits)


def _nonces(house: House) -> int:
    """Return how many requests were let in."""
    [(count,)] = house.sql("SELECT count(*) FROM cache")
    return int(count)
