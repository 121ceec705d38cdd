import pytest

from faceauth.simulator.people import CAST
from faceauth.wechat import flatxml
from tests.faceauth.asking import Asking, verify


@pytest.fixture
def wechat():
    return Asking()


def recognised(wechat, person="zhangsan", *, merchant=None, **asked):
    authinfo = flatxml.read(wechat.authinfo(merchant).content)["authinfo"]
    asked = {"authinfo": authinfo, "person": person, **asked}
    return wechat.http.post("/_sim/userinfo", json=asked).json()


def test_a_face_is_known_without_a_name_or_a_question(wechat):
    answer = recognised(wechat)

    assert answer["return_code"] == "SUCCESS"
    assert answer["openid"]
    assert answer["nickname"]
    assert answer.keys() == {"return_code", "return_msg", "openid", "nickname"}
    assert CAST["zhangsan"].name not in answer["nickname"]


def test_a_token_opens_the_union_id(wechat):
    seen = recognised(wechat, ask_unionid="1")

    answer = wechat.users(seen["token"], info_type="ASK_UNIONID")

    assert seen["unionid_code"] == "SUCCESS"
    assert answer.json().keys() == {"openid", "union_id"}
    assert answer.json()["openid"] == seen["openid"]
    verify(answer, wechat.world.platform_certificate)


def test_a_person_has_one_union_id_under_every_appid(wechat):
    direct = wechat.users(recognised(wechat, ask_unionid="1")["token"], info_type="ASK_UNIONID")
    seen = recognised(wechat, merchant=wechat.world.partner, ask_unionid="1")

    partner = wechat.hospital_users(seen["token"], info_type="ASK_UNIONID", sub_serial_no=None)

    assert partner.json()["union_id"] == direct.json()["union_id"]
    assert partner.json()["openid"] == seen["openid"] != direct.json()["openid"]
    assert partner.json()["sub_openid"] == seen["sub_openid"]


def test_two_people_have_two_union_ids(wechat):
    tokens = [
        recognised(wechat, person, ask_unionid="1")["token"] for person in ("zhangsan", "ouyang")
    ]

    answers = [wechat.users(token, info_type="ASK_UNIONID").json() for token in tokens]

    assert answers[0]["union_id"] != answers[1]["union_id"]


def test_somebody_without_a_union_id_is_told_so(wechat):
    token = recognised(wechat, "unlinked", ask_unionid="1")["token"]

    answer = wechat.users(token, info_type="ASK_UNIONID")

    assert answer.status_code == 400
    assert answer.json() == {"code": "INVALID_REQUEST", "message": "UnionID为空"}
    assert "UnionID" in wechat.verdict


def test_a_token_opens_no_name_and_a_face_sid_no_union_id(wechat):
    token = recognised(wechat, ask_unionid="1")["token"]
    face_sid = wechat.simulator.meet("zhangsan")

    assert wechat.users(token).status_code == 404
    assert "token" in wechat.verdict
    assert wechat.users(face_sid, info_type="ASK_UNIONID").status_code == 404
    assert "token" in wechat.verdict


def test_a_token_is_not_asked_for_consent(wechat):
    token = recognised(wechat, "decliner", ask_unionid="1")["token"]

    asked = wechat.http.post("/_sim/authorize", json={"face_sid": token}).json()

    assert asked["return_code"] == "PARAM_ERROR"
    assert wechat.users(token, info_type="ASK_UNIONID").status_code == 200


def test_a_token_lasts_ten_minutes(wechat):
    token = recognised(wechat, ask_unionid="1")["token"]
    wechat.clock.now += 601
    wechat.simulator.meet("zhangsan")

    assert wechat.simulator.camera.find(token) is None


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"person": "nobody"}, "FACE_UNKNOWN"),
        ({"ask_unionid": 1}, "PARAM_ERROR"),
        ({"ask_unionid": "2"}, "PARAM_ERROR"),
        ({"device_id": "T-2"}, "PARAM_ERROR"),
        ({"authinfo": ""}, "PARAM_ERROR"),
    ],
)
def test_a_face_is_known_under_the_same_rules_as_a_scan(wechat, asked, code):
    answer = recognised(wechat, **asked)

    assert answer["return_code"] == code
    assert "openid" not in answer
