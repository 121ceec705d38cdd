"""`kill -9` of the worker while the hospital's own system is told: nobody is lost, nobody twice."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.his_server import TOKEN, His, serving
from tests.house import House, postgresql, until

KILLS = 3
SLOW = 0.4  # seconds the other system takes to answer
PEOPLE = 4


@pytest.fixture(scope="module")
def his() -> Iterator[His]:
    with serving(His()) as server:
        yield server


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)], scope="module"
)
def house(
    request: pytest.FixtureRequest, his: His, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    own = {
        "HIS_FHIR_URL": his.url,
        "HIS_IDENTIFIER_SYSTEM": "https://hospital.invalid/patients",
        "HIS_TOKEN": TOKEN,
    }
    with ExitStack() as stack:
        if request.param == "postgresql":
            server = os.environ.get("DATABASE_URL", "")
            own |= {"DATABASE_URL": stack.enter_context(postgresql(server)), "DATABASE_POOL": "6"}
        his.patients.clear()
        yield stack.enter_context(House.built(tmp_path_factory.mktemp("house"), **own))


def states(house: House) -> list[str]:
    return [state for (state,) in house.sql("SELECT state FROM patients_handoff")]


def test_whoever_is_killed_everybody_reaches_the_other_system_once(house: House, his: His) -> None:
    dice = random.Random(7)
    house.start("web")
    house.equip()
    with house.lobby() as lobby:
        visits = [lobby.authorize(f"stranger-{n}") for n in range(PEOPLE)]
    his.will(seconds=SLOW, left=10_000)

    for _ in range(KILLS):
        before = len(his.asked)
        house.start("worker")
        until(lambda before=before: len(his.asked) > before, "the other system is asked")
        time.sleep(dice.uniform(0, 1.5 * SLOW))  # at any moment: while it is asked, or after
        house.kill("worker")
        house.sql("UPDATE patients_handoff SET taken_until = NULL")  # what half a minute would do
        house.let_leases_run_out()
    his.weather.clear()
    house.start("worker")
    until(
        lambda: house.finished(visits) and states(house) == ["done"] * PEOPLE,
        "everybody was told of",
    )

    assert len(his.patients) == PEOPLE
    acknowledged = house.trail("handoff.done")
    assert len({event["facts"]["patient"] for event in acknowledged}) == PEOPLE
    given = house.sql("SELECT count(*) FROM privacy_disclosure WHERE recipient = 'his'")
    assert given == [(len(acknowledged),)]
    house.kill("worker")
    house.kill("web")
