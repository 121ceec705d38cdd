"""The oracle itself: what may be nowhere is found in a log, in the trail's, and in Redis."""

import pytest

from tests.faults import cast

pytestmark = pytest.mark.parametrize("hospital", ["redis"], indirect=True)


def test_who_somebody_is_is_found_wherever_it_is_said(scene):
    hospital = scene.hospital
    [visit] = scene.crowd(1)
    scene.recover(began=0)
    [(appid,)] = hospital.sql("SELECT appid FROM faceauth_merchant")
    _, document_number, union_id, openid = cast.secrets({visit.person}, {appid})[visit.person]
    said = "said who somebody is"
    assert said not in scene.judge().wrong

    for secret in (visit.face_sid, document_number, union_id, openid):
        log = hospital.place.logs / "told.log"
        log.write_text(f"about {secret}")
        assert scene.judge().wrong[said] == ["told.log"]
        log.unlink()

    with hospital.services.cache.client(1) as cache:
        cache.hset("told", "who", document_number)
        assert scene.judge().wrong[said] == ["the cache"]
        cache.delete("told")
    with hospital.services.broker.client(0) as broker:
        broker.lpush("told", openid)
        assert scene.judge().wrong[said] == ["the broker"]
        broker.delete("told")
