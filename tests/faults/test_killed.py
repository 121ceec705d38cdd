"""`kill -9` of each process, at the moment that is worst for it."""

import threading
import time
from collections.abc import Sequence

import psycopg
import pytest

from tests.faults.hospital import Hospital, ticking
from tests.house import Visit, until

pytestmark = pytest.mark.parametrize("hospital", ["rabbitmq"], indirect=True)


def blocked(hospital: Hospital, table: str) -> int:
    """Return how many statements wait for this table."""
    asked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
    with psycopg.connect(hospital.services.database.url, autocommit=True) as server:
        [count] = server.execute(asked, [table]).fetchone()
        return count


def end_blocked(hospital: Hospital) -> None:
    """Have the database drop what it was sent and has not done, as where both lost their power."""
    with psycopg.connect(hospital.services.database.url, autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE NOT granted")


def answers_wait_to_be_written(hospital: Hospital, visits: Sequence[Visit]) -> None:
    hospital.up("worker")
    until(
        lambda: (
            all(map(hospital.asked_about, visits))
            and blocked(hospital, "audit_event") >= len(visits)
        ),
        "every answer is there, and none on disk",
    )


def test_web_is_killed_in_the_middle_of_a_request(scene, told):
    hospital, visits = scene.hospital, []
    hospital.kill("worker")  # nobody else writes sessions
    hospital.kill("beat")
    person = threading.Thread(target=lambda: visits.extend(scene.crowd(1)))
    with ticking(person):
        with hospital.holding("devices_storedanswer"):
            until(
                lambda: blocked(hospital, "devices_storedanswer"),
                "a request is in the middle of its transaction",
            )
            hospital.kill("web")
        began = time.monotonic()
        hospital.up("web", "worker", "beat")
    told(f"recovered in {scene.recover(began=began)} s")

    assert len(visits) == 1


def test_a_worker_is_killed_while_wechat_is_asked(scene, told):
    hospital = scene.hospital
    hospital.kill("worker")
    visits = scene.crowd(3)
    hospital.weather("slow", times=3, endpoint="users", seconds=4)
    hospital.up("worker")
    until(lambda: any(map(hospital.asked_about, visits)), "somebody is asked about")

    hospital.kill("worker")
    began = time.monotonic()
    hospital.up("worker")
    told(f"recovered in {scene.recover(began=began)} s, lease and all")

    assert max(map(hospital.asked_about, visits)) == 2


def test_a_worker_is_killed_between_the_answer_and_the_record(scene, told):
    hospital = scene.hospital
    hospital.kill("worker")
    visits = scene.crowd(3)

    with hospital.holding("patients_patient"):
        hospital.up("worker")
        ours = {visit.session for visit in visits}
        until(lambda: hospital.kept() >= ours, "every answer is on disk")
        hospital.kill("worker")
    began = time.monotonic()
    hospital.up("worker")
    told(f"recovered in {scene.recover(began=began)} s, lease and all")

    assert [hospital.asked_about(visit) for visit in visits] == [1] * len(visits)


def test_a_worker_is_killed_while_the_answer_is_written(scene, told):
    """The database carries out what it was sent: nobody is asked about again."""
    hospital = scene.hospital
    hospital.kill("worker")
    visits = scene.crowd(3)

    with hospital.holding("audit_event"):  # the answer is kept together with its event
        answers_wait_to_be_written(hospital, visits)
        hospital.kill("worker")
    until(lambda: hospital.kept() >= {visit.session for visit in visits}, "all are on disk")
    began = time.monotonic()
    hospital.up("worker")
    told(f"recovered in {scene.recover(began=began)} s, lease and all")

    assert [hospital.asked_about(visit) for visit in visits] == [1] * len(visits)


def test_a_worker_is_killed_before_the_answer_is_on_disk(scene, told):
    """The one moment that costs a second question: nobody else has heard the first answer."""
    hospital = scene.hospital
    hospital.kill("worker")
    visits = scene.crowd(3)

    with hospital.holding("audit_event"):
        answers_wait_to_be_written(hospital, visits)
        hospital.kill("worker")
        end_blocked(hospital)
    assert not hospital.kept()
    began = time.monotonic()
    hospital.up("worker")
    told(f"recovered in {scene.recover(began=began)} s, lease and all")

    assert [hospital.asked_about(visit) for visit in visits] == [2] * len(visits)


def test_beat_is_killed_and_what_the_broker_forgets_waits_for_it(scene, told):
    hospital = scene.hospital
    hospital.kill("beat")
    hospital.kill("worker")
    forgotten = {visit.session for visit in scene.crowd(3)}
    hospital.services.broker.flush()

    # Without the sweeper: the worker works, and yet they wait, which the oracle finds.
    hospital.up("worker")
    heard = []

    def somebody_is_heard() -> bool:  # who comes while its connection is a dead one is not
        heard.extend(scene.crowd(1))
        return any(hospital.finished([visit]) for visit in heard)

    until(somebody_is_heard, "a message that arrives is followed")
    assert set(scene.judge().wrong["waiting"]) >= forgotten
    began = time.monotonic()
    hospital.up("beat")

    told(f"recovered in {scene.recover(began=began)} s")


def test_the_notary_is_killed_and_seals_what_it_missed(scene, told):
    hospital = scene.hospital
    hospital.kill("notary")
    scene.crowd(3)
    scene.recover(began=time.monotonic())
    assert hospital.pending()
    began = time.monotonic()

    hospital.up("notary")

    until(lambda: not hospital.pending(), "everything is sealed")
    told(f"recovered in {time.monotonic() - began:.1f} s")
