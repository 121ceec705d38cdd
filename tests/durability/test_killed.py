"""`kill -9` of anything, at any moment: what was promised with a 202 is done, once."""

import random
import time
from collections import Counter

import pytest

from devices.agent.api import Session
from tests.house import House, Visit, until

KILLS = 4
PEOPLE = 12
SLOW = 0.3  # seconds WeChat takes to answer
NEVER = 2.0  # seconds in which a sweep would have come twice

# Real processes: whatever they cost, they end.
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def web(house: House):
    house.start("web")
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


def finished(house: House, visits: list[Visit]) -> bool:
    states = house.states()
    return all(states[visit.session] != "authorized" for visit in visits)


def assert_each_is_on_record_once(house: House, visits: list[Visit]) -> None:
    sessions = ",".join(f"'{visit.session}'" for visit in visits)
    plain = ",".join(f"'{visit.session.replace('-', '')}'" for visit in visits)
    uuid = sessions if house.database.startswith("postgres") else plain
    rows = house.sql(
        "SELECT patient_id, state, answer IS NULL, face_sid IS NULL, face_sid_index IS NULL"
        f" FROM faceauth_facesession WHERE id IN ({uuid})"
    )
    path = "payload::jsonb #>> '{facts,session}'"
    if not house.database.startswith("postgres"):
        path = "json_extract(payload, '$.facts.session')"
    onboarded = house.sql(
        f"SELECT {path}, object_id FROM audit_event"
        f" WHERE action = 'patient.onboard' AND {path} IN ({sessions})"
    )
    assert [row[1:] for row in rows] == [("onboarded", True, True, False)] * len(visits)
    assert len({row[0] for row in rows}) == len({visit.person for visit in visits})
    assert Counter(session for session, _ in onboarded) == Counter(v.session for v in visits)
    assert len({patient for _, patient in onboarded}) == len({v.person for v in visits})


@pytest.mark.usefixtures("web", "nobody_works")
def test_a_worker_killed_at_any_moment_loses_nobody_and_doubles_nobody(house, capsys):
    dice = random.Random(20)
    house.weather("slow", times=10_000, endpoint="users", seconds=SLOW)
    # Somebody comes twice: two sessions, one patient.
    people = [f"stranger-{n}" for n in range(100, 99 + PEOPLE)] + ["stranger-100"]
    visits = crowd(house, *people)
    asked_when_kept: dict[str, int] = {}

    for _ in range(KILLS):
        before = sum(house.asked().values())
        house.start("worker")
        until(lambda: sum(house.asked().values()) > before, "a worker that started does work")
        time.sleep(dice.uniform(0, 1.5 * SLOW))
        house.kill("worker")
        asked_when_kept |= {
            visit.face_sid: house.asked_about(visit)
            for visit in visits
            if visit.session in house.kept()
        }
        house.let_leases_run_out()
    house.start("worker")
    until(lambda: finished(house, visits), "everybody is dealt with")

    assert_each_is_on_record_once(house, visits)
    asked = {visit.face_sid: house.asked_about(visit) for visit in visits}
    assert asked | asked_when_kept == asked  # a kept answer is never asked for again
    ratio = sum(asked.values()) / len(visits)
    with capsys.disabled():
        print(f"\n{KILLS} kills, {len(visits)} people, {ratio:.2f} questions to WeChat for each")


@pytest.mark.usefixtures("web", "nobody_works")
def test_the_sweeper_finds_what_the_broker_forgot(house):
    forgotten = crowd(house, *(f"stranger-{n}" for n in range(200, 204)))
    house.forget_messages()

    # Without the sweeper: the worker works, and yet they wait for ever.
    house.start("worker", without="--beat")
    [heard] = crowd(house, "stranger-300")
    until(lambda: finished(house, [heard]), "a message that arrives is followed")
    time.sleep(NEVER)
    states = house.states()
    assert {states[visit.session] for visit in forgotten} == {"authorized"}
    house.kill("worker")

    house.start("worker")
    until(lambda: finished(house, forgotten), "the sweeper wakes what is due")
    assert_each_is_on_record_once(house, [*forgotten, heard])


@pytest.mark.usefixtures("nobody_works")
def test_a_202_is_on_disk_when_web_is_killed_right_after_it(house):
    house.start("web")
    [visit] = crowd(house, "stranger-400")

    house.kill("web")

    assert house.states()[visit.session] == "authorized"
    house.start("web")
    house.start("worker")
    with house.lobby() as lobby:
        told = lobby.server.watch(Session(visit.session, "authorized"), wait=25)
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
    until(lambda: finished(house, [visit]), "the sweeper wakes what is due")
    assert_each_is_on_record_once(house, [visit])
