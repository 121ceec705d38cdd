"""`kill -9` of anything, at any moment: what was promised with a 202 is done, once."""

import random
import time

import pytest

from devices.agent.api import Session
from tests.house import House, Visit, until

KILLS = 3
SLOW = 0.5  # seconds WeChat takes to answer
NEVER = 2.0  # seconds in which a sweep would have come twice


@pytest.fixture
def web(house: House):
    house.start("web")
    house.equip()
    yield
    if "web" in house.running:
        house.kill("web")


@pytest.fixture
def nobody_works(house: House):
    yield
    if "worker" in house.running:
        house.kill("worker")


def crowd(house: House, *people: str) -> list[Visit]:
    with house.lobby() as lobby:
        return [lobby.authorize(person) for person in people]


@pytest.mark.usefixtures("web", "nobody_works")
def test_a_worker_killed_at_any_moment_loses_nobody_and_doubles_nobody(house, capsys):
    dice = random.Random(8)
    house.weather("slow", times=10_000, endpoint="users", seconds=SLOW)
    visits: list[Visit] = []
    asked_when_kept: dict[str, int] = {}

    for kill in range(KILLS):
        visits += crowd(house, *(f"stranger-{100 + 10 * kill + n}" for n in (1, 2, 3, 1)))
        before = sum(house.asked().values())
        house.start("worker")
        until(lambda before=before: sum(house.asked().values()) > before, "there is work in hand")
        time.sleep(dice.uniform(0, 1.5 * SLOW))
        house.kill("worker")
        kept = house.kept()
        asked_when_kept |= {
            visit.face_sid: house.asked_about(visit) for visit in visits if visit.session in kept
        }
        house.let_leases_run_out()
    house.start("worker")
    until(lambda: house.finished(visits), "everybody is dealt with")

    house.assert_on_record_once(visits)
    asked = {visit.face_sid: house.asked_about(visit) for visit in visits}
    assert asked | asked_when_kept == asked  # a kept answer is never asked for again
    with capsys.disabled():
        print(
            f"\n{len(visits)} sessions, {KILLS} x kill -9:"
            f" {sum(asked.values()) / len(visits):.2f} questions to WeChat for each"
        )


@pytest.mark.parametrize(
    "house", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
@pytest.mark.usefixtures("web", "nobody_works")
def test_a_worker_killed_between_the_answer_and_the_record_need_not_ask_again(house):
    visits = crowd(house, *(f"stranger-{n}" for n in range(600, 604)))

    with house.holding("patients_patient"):
        house.start("worker")
        until(lambda: len(house.kept()) == len(visits), "every answer is on disk")
        house.kill("worker")
    house.let_leases_run_out()
    house.start("worker")
    until(lambda: house.finished(visits), "everybody is dealt with")

    house.assert_on_record_once(visits)
    assert [house.asked_about(visit) for visit in visits] == [1] * len(visits)


@pytest.mark.usefixtures("web", "nobody_works")
def test_the_sweeper_finds_what_the_broker_forgot(house):
    forgotten = crowd(house, *(f"stranger-{n}" for n in range(200, 204)))
    house.forget_messages()

    # Without the sweeper: the worker works, and yet they wait for ever.
    house.start("worker", without="--beat")
    [heard] = crowd(house, "stranger-300")
    until(lambda: house.finished([heard]), "a message that arrives is followed")
    time.sleep(NEVER)
    states = house.states()
    assert {states[visit.session] for visit in forgotten} == {"authorized"}
    house.kill("worker")

    house.start("worker")
    until(lambda: house.finished(forgotten), "the sweeper wakes what is due")
    house.assert_on_record_once([*forgotten, heard])


@pytest.mark.usefixtures("nobody_works")
def test_a_202_is_on_disk_when_web_is_killed_right_after_it(house):
    house.start("web")
    house.equip()
    [visit] = crowd(house, "stranger-400")

    house.kill("web")

    assert house.states()[visit.session] == "authorized"
    house.start("web")
    house.start("worker")
    waits = Session(visit.session, "authorized")
    with house.lobby() as lobby:
        until(lambda: lobby.server.watch(waits, wait=25).is_final, "the terminal is told")
        told = lobby.server.watch(waits, wait=0)
    house.kill("web")
    assert told.state == "onboarded"


@pytest.mark.usefixtures("web", "nobody_works")
def test_a_yes_is_taken_while_the_broker_is_gone(house):
    broker, aside = house.place.broker, house.place.var / "broker-aside"
    broker.rename(aside)

    [visit] = crowd(house, "stranger-500")

    assert house.states()[visit.session] == "authorized"
    aside.rename(broker)
    house.start("worker")
    until(lambda: house.finished([visit]), "the sweeper wakes what is due")
    house.assert_on_record_once([visit])


@pytest.mark.parametrize(
    "house", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
@pytest.mark.usefixtures("web", "nobody_works")
def test_a_database_that_restarts_costs_nobody_their_place(house):
    before = crowd(house, *(f"stranger-{n}" for n in range(700, 703)))
    house.start("worker")
    until(lambda: house.finished(before), "everybody is dealt with")

    house.drop_connections()
    after = crowd(house, *(f"stranger-{n}" for n in range(710, 714)))

    until(lambda: house.finished(after), "everybody is dealt with")
    house.assert_on_record_once([*before, *after])
