"""WeChat slow, down, or somebody else in its place: nobody is put on record on another's word."""

import time

import pytest

pytestmark = pytest.mark.parametrize("hospital", ["rabbitmq"], indirect=True)

MINUTE = 60.0  # seconds


@pytest.mark.parametrize("weather", ["slow", "down", "forged"])
def test_it_is_for_a_minute(weather, scene, told):
    hospital = scene.hospital
    hospital.weather(weather, times=0, endpoint="users", seconds=2)
    visits = scene.crowd(3)
    time.sleep(MINUTE)
    states = hospital.states()
    if weather != "slow":
        assert {states[visit.session] for visit in visits} == {"authorized"}
        assert not hospital.kept()

    hospital.clear_weather()
    began = time.monotonic()

    told(f"recovered in {scene.recover(began=began)} s")
