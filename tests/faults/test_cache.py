"""A shared cache that is empty, or gone: it holds nothing nobody could do without."""

import time

import pytest

from devices.agent.api import Problem

pytestmark = pytest.mark.parametrize("hospital", ["rabbitmq"], indirect=True)


def test_it_is_empty_of_a_sudden(scene, told):
    scene.crowd(1)
    began = time.monotonic()

    scene.hospital.services.cache.flush()
    scene.crowd(2)

    told(f"recovered in {scene.recover(began=began)} s")


def test_it_is_gone_and_terminals_are_told_to_come_again(scene, told):
    hospital = scene.hospital
    [before] = hospital.sql("SELECT count(*) FROM faceauth_facesession")

    hospital.services.cache.kill()
    with pytest.raises(Problem) as told_no:
        scene.crowd(1, patience=0)
    assert told_no.value.status == 503
    # Nonces are in it: whose signature may be a replay is not served.
    assert hospital.sql("SELECT count(*) FROM faceauth_facesession") == [before]
    hospital.services.cache.start()
    began = time.monotonic()
    scene.crowd(2)

    told(f"recovered in {scene.recover(began=began)} s")
