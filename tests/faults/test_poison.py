"""A visit that kills its worker every time: it ends `failed`, and blocks nobody."""

import time
from datetime import UTC, datetime

import pytest

from tests.benchmarks import elsewhere
from tests.house import until

pytestmark = pytest.mark.parametrize("hospital", ["rabbitmq"], indirect=True)

ATTEMPTS = 15  # as the product has it
ALREADY = 13  # of them; each costs a start of a worker, and one is like the other


def test_a_poison_visit_ends_failed_and_blocks_nobody(scene, told):
    hospital = scene.hospital
    hospital.kill("worker")
    [poison] = scene.crowd(1)
    scene.poison.add(poison.session)
    listed = hospital.place.var / "poison"
    listed.write_text(poison.session)
    hospital.sql(
        f"UPDATE faceauth_facesession SET attempts = {ALREADY}"  # noqa: S608 (ours)
        f" WHERE id = '{poison.session}'"
    )
    began, deaths = time.monotonic(), 0

    def failed() -> bool:
        nonlocal deaths
        died = hospital.revive().count("worker")
        deaths += died
        if died:
            hospital.let_leases_run_out()
        return hospital.states()[poison.session] == "failed"

    hospital.start("worker", app="tests.faults.poisoned:app", POISON=str(listed))
    others = scene.crowd(3)
    until(failed, "it ends", seconds=180)

    told(f"{deaths} workers died, ended in {time.monotonic() - began:.1f} s")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    elsewhere.leave("faults", {"at": at, "R7": ALREADY + deaths})  # for the board of `make bench`
    assert deaths == ATTEMPTS - ALREADY
    assert [facts["facts"]["code"] for facts in hospital.trail("session.fail")] == [
        "attempts_exhausted"
    ]
    until(lambda: hospital.finished(others), "the others are dealt with")
    hospital.kill("worker")
