"""
A worker whose line to the broker goes dead: it lives, is green, and nothing comes any more.

Neither end is told, as when a firewall forgets a connection: no error, no end of a file.
"""

import time

from tests.faults.hospital import since
from tests.house import until


def test_it_notices_and_begins_anew_under_whatever_supervises_it(scene, told):
    hospital = scene.hospital
    hospital.kill("worker")
    hospital.connect_by_line("worker")
    scene.crowd(1)
    scene.recover(began=time.monotonic())
    worker, before = hospital.running["worker"], hospital.noticed()
    recorded = len(hospital.trail("worker.restart"))

    assert hospital.line.cut()
    began = time.monotonic()
    visits = scene.crowd(3)
    # Cut between two questions, a line of Redis's misses its answer by itself, as it should.
    until(lambda: hospital.noticed() > before or hospital.finished(visits), "it notices")
    noticed, by_itself = since(began), hospital.noticed() == before

    took = scene.recover(began=began)
    told(f"noticed after {noticed} s{' by itself' * by_itself}, recovered in {took} s in all")
    assert hospital.running["worker"] == worker
    until(
        lambda: by_itself or len(hospital.trail("worker.restart")) > recorded,
        "the trail tells of it",
    )
    hospital.kill("worker")
