"""Clocks that are wrong: a terminal's, a worker's, and one that was set back."""

import time

import pytest

from tests.house import until

pytestmark = pytest.mark.parametrize("hospital", ["rabbitmq"], indirect=True)

HOUR = 3600


def test_a_terminal_an_hour_off_is_told_the_time_and_served(scene, told):
    began = time.monotonic()
    with scene.hospital.terminal() as terminal:
        terminal.server._wire._auth.correct(time.time() - HOUR)
        scene.receive(terminal, scene.stranger())

    told(f"recovered in {scene.recover(began=began)} s")


@pytest.fixture
def clock(scene):
    """Return what sets the clock of processes that were started with `SHIFT_FILE`."""
    return Clock(scene.hospital.place.var / "clock")


class Clock:
    def __init__(self, file):
        self.env = {"SHIFT_FILE": str(file)}
        self._file = file
        self.step(0)

    def step(self, seconds):
        beside = self._file.with_suffix(".new")
        beside.write_text(str(seconds))
        beside.replace(self._file)


@pytest.mark.parametrize("shift", [-HOUR, 120], ids=["an hour behind", "two minutes ahead"])
def test_one_of_two_workers_is(shift, scene, clock, told):
    hospital = scene.hospital
    clock.step(shift)
    hospital.start("worker-2", app="tests.faults.shifted:app", **clock.env)
    began = time.monotonic()
    visits = scene.crowd(6)

    told(f"recovered in {scene.recover(began=began)} s")
    hospital.kill("worker-2")
    assert {hospital.asked_about(visit) for visit in visits} <= {1, 2}


def test_the_webs_and_the_only_workers_step_while_people_come(scene, clock, told):
    hospital = scene.hospital
    for name, app in (("web", "application"), ("worker", "app")):
        hospital.kill(name)
        hospital.start(name, app=f"tests.faults.shifted:{app}", **clock.env)
    hospital.up("web", "worker")
    visits = scene.crowd(2)
    for shift in (120, 0):  # ahead, and back
        clock.step(shift)
        visits += scene.crowd(3)
    began = time.monotonic()

    told(f"recovered in {scene.recover(began=began)} s")
    for name in ("web", "worker"):
        hospital.kill(name)
    assert {hospital.asked_about(visit) for visit in visits} <= {1, 2}


def test_clocks_are_set_back_an_hour_and_nobody_waits_for_it(scene, told):
    hospital = scene.hospital
    hospital.kill("worker")
    visits = scene.crowd(2)
    # What was written an hour from now, as the clock has it.
    ids = ", ".join(f"'{visit.session}'" for visit in visits)
    hospital.sql(
        f"UPDATE faceauth_facesession SET due_at = due_at + interval '1 hour' WHERE id IN ({ids})"  # noqa: S608 (ours)
    )
    hospital.services.broker.flush()
    began = time.monotonic()
    hospital.up("worker")

    until(lambda: hospital.finished(visits), "nobody waits for an hour")
    told(f"recovered in {scene.recover(began=began)} s")
