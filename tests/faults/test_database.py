"""A database that restarts, hangs up, or is full: nothing half done, nothing unrecorded."""

import time

import psycopg
import pytest

from devices.agent.api import Problem
from tests.faults.test_killed import blocked
from tests.house import until

pytestmark = pytest.mark.parametrize("hospital", ["rabbitmq"], indirect=True)

FULL = """
CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER disk_is_full BEFORE INSERT ON audit_event EXECUTE FUNCTION disk_is_full();
"""


def test_it_restarts_in_the_middle_of_transactions(scene, told):
    hospital = scene.hospital
    hospital.kill("worker")
    scene.crowd(3)
    with pytest.raises(psycopg.OperationalError), hospital.holding("patients_patient"):
        hospital.up("worker")
        until(lambda: blocked(hospital, "patients_patient"), "somebody's record is being written")
        hospital.services.database.restart_at_once()
    began = time.monotonic()
    scene.crowd(2)

    told(f"recovered in {scene.recover(began=began)} s, lease and all")


def test_every_connection_is_cut(scene, told):
    scene.crowd(2)
    scene.hospital.drop_connections()
    began = time.monotonic()
    scene.crowd(2)

    told(f"recovered in {scene.recover(began=began)} s")


def test_the_trail_has_no_room_and_nothing_is_done_without_it(scene, told):
    hospital = scene.hospital
    hospital.kill("worker")
    waiting = scene.crowd(2)
    [before] = hospital.sql("SELECT count(*) FROM patients_patient")
    hospital.sql(FULL)
    hospital.up("worker")

    with pytest.raises(Problem) as told_no:
        scene.crowd(1, patience=0)
    assert told_no.value.status == 503
    until(lambda: any(map(hospital.asked_about, waiting)), "the worker tries")
    assert hospital.sql("SELECT count(*) FROM patients_patient") == [before]
    states = hospital.states()
    assert {states[visit.session] for visit in waiting} == {"authorized"}

    hospital.sql("DROP FUNCTION disk_is_full CASCADE")
    began = time.monotonic()
    scene.crowd(1)
    told(f"recovered in {scene.recover(began=began)} s, lease and all")
