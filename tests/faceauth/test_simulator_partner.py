import json

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from faceauth.simulator import Simulator
from faceauth.simulator.people import CAST
from faceauth.wechat import flatxml
from faceauth.wechat.keys import strict_base64
from tests.faceauth.asking import Asking, opened, v2_signature, verify

RELATION = ("NO_AUTH", "受理关系不存在", "268443701")


@pytest.fixture
def wechat():
    return Asking()


def refusal(answer):
    number = answer.headers["request-id"].rpartition("-")[2]
    return answer.json()["code"], answer.json()["message"], number


def opens(answer, key, name):
    try:
        return opened(answer, key)[0] == name  # a wrong key opens it to noise
    except ValueError:  # or does not, when the ciphertext is no number below its modulus
        return False


@pytest.mark.parametrize("number", [0, 1])
def test_a_name_is_for_the_hospital_it_was_asked_for(wechat, number):
    hospitals = wechat.world.partner.hospitals
    face_sid = wechat.simulator.meet("zhangsan", sub_mch_id=hospitals[number].sub_mch_id)

    answer = wechat.hospital_users(face_sid, number=number)

    name, document = opened(answer, hospitals[number].key)
    assert (name.decode(), document.decode()) == ("张三", CAST["zhangsan"].document_number)
    others = (hospitals[1 - number].key, wechat.world.partner.key, wechat.world.merchant_key)
    assert not any(opens(answer, key, name) for key in others)


def test_a_partners_answer_has_both_openids(wechat):
    hospital = wechat.world.partner.hospitals[0]
    face_sid = wechat.simulator.meet("zhangsan", sub_mch_id=hospital.sub_mch_id)

    with_both = wechat.hospital_users(face_sid).json()
    with_one = wechat.hospital_users(face_sid, sub_appid=None).json()

    assert with_both["openid"] == with_one["openid"] != with_both["sub_openid"]
    assert "sub_openid" not in with_one


@pytest.mark.parametrize(
    ("changed", "expected", "verdict"),
    [
        ({"sub_mchid": "1900000001"}, RELATION, "1900000100"),
        (
            {"sub_mchid": None},
            ("PARAM_ERROR", "sub_mchid参数缺失", "268435456"),
            "必须传 sub_mchid",
        ),
        (
            {"sub_serial_no": None},
            ("PARAM_ERROR", "sub_serial_no参数缺失", "268435456"),
            "必须传 sub_serial_no",
        ),
        (
            {"sub_serial_no": "AB"},
            ("PARAM_ERROR", "sub_serial_no参数错误", "268435456"),
            "1900000101",
        ),
        (
            {"sub_appid": "wx0000000000000102"},
            ("PARAM_ERROR", "sub_appid和sub_mchid不匹配", "268445527"),
            "1900000101",
        ),
        (
            {"appid": "wx0000000000000001"},
            ("PARAM_ERROR", "appid和mch_id不匹配", "268445527"),
            "1900000100",
        ),
    ],
)
def test_a_partner_is_refused_in_wechats_words(wechat, changed, expected, verdict):
    face_sid = wechat.simulator.meet("zhangsan", sub_mch_id="1900000101")

    answer = wechat.hospital_users(face_sid, **changed)

    assert refusal(answer) == expected
    assert verdict in wechat.verdict
    verify(answer, wechat.world.platform_certificate)


def test_a_serial_may_begin_with_a_zero_and_be_in_small_letters(wechat):
    hospital = wechat.world.partner.hospitals[0]
    face_sid = wechat.simulator.meet("zhangsan", sub_mch_id=hospital.sub_mch_id)

    answer = wechat.hospital_users(face_sid, sub_serial_no=f"0{hospital.serial.lower()}")

    assert answer.status_code == 200


def test_another_hospitals_serial_is_refused(wechat):
    face_sid = wechat.simulator.meet("zhangsan", sub_mch_id="1900000101")
    other = wechat.world.partner.hospitals[1]

    answer = wechat.hospital_users(face_sid, sub_serial_no=other.serial)

    assert answer.json()["message"] == "sub_serial_no参数错误"


def test_another_hospitals_face_sid_is_not_found(wechat):
    face_sid = wechat.simulator.meet("zhangsan", sub_mch_id="1900000102")

    answer = wechat.hospital_users(face_sid, number=0)

    assert answer.status_code == 404


# authinfo


def test_an_authinfo_for_a_hospital_is_signed_with_the_partners_key(wechat):
    partner = wechat.world.partner

    answer = flatxml.read(wechat.authinfo(partner).content)

    assert answer["return_code"] == "SUCCESS"
    assert answer["sign"] == v2_signature(answer, partner.apiv2_key, "HMAC-SHA256")
    assert (answer["sub_mch_id"], answer["sub_appid"]) == ("1900000101", "wx0000000000000101")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"sub_mch_id": None}, ("PARAM_ERROR", "参数错误")),
        ({"sub_mch_id": "1900000001"}, ("ERROR", "受理关系不存在")),
        ({"sub_appid": "wx1"}, ("ERROR", "sub_mch_id与sub_appid不匹配")),
        ({"sub_appid": None}, ("SUCCESS", "请求成功")),
        ({"appid": "wx0000000000000001"}, ("ERROR", "商户号和appid不匹配")),
    ],
)
def test_a_partners_authinfo_is_refused_in_wechats_words(wechat, changed, expected):
    answer = flatxml.read(wechat.authinfo(wechat.world.partner, **changed).content)

    assert (answer["return_code"], answer["return_msg"]) == expected


def test_a_hospitals_patient_walks_the_whole_way(wechat):
    world = wechat.world
    authinfo = flatxml.read(wechat.authinfo(world.partner).content)["authinfo"]

    seen = wechat.simulator.camera.scan({"authinfo": authinfo, "person": "zhangsan"})
    wechat.simulator.camera.authorize({"face_sid": seen["face_sid"], "quit_face_auth": "0"})
    answer = wechat.hospital_users(seen["face_sid"])

    assert answer.json()["openid"] == seen["openid"]
    assert answer.json()["sub_openid"] == seen["sub_openid"]
    assert opened(answer, world.partner.hospitals[0].key)[0].decode() == "张三"


@pytest.mark.parametrize("name", ["sub_mch_id", "sub_appid", "store_id", "device_id"])
def test_a_hospitals_authinfo_is_good_for_its_own_terms_only(wechat, name):
    authinfo = flatxml.read(wechat.authinfo(wechat.world.partner).content)["authinfo"]

    asked = {"authinfo": authinfo, "person": "zhangsan", name: "another"}
    answer = wechat.simulator.camera.scan(asked)

    assert answer == {"return_code": "PARAM_ERROR", "return_msg": "AuthInfo License Error"}


# what each of them holds


def test_a_partners_certificates_are_sealed_under_its_own_key(wechat):
    answer = wechat.certificates(wechat.world.partner)

    item = answer.json()["data"][0]["encrypt_certificate"]
    sealed = strict_base64(item["ciphertext"])
    nonce = item["nonce"].encode()
    key = AESGCM(wechat.world.partner.apiv3_key.encode())
    assert key.decrypt(nonce, sealed, b"certificate").decode() == wechat.world.platform_certificate


def test_the_partners_side_is_exported_with_keys_that_fit(tmp_path):
    simulator = Simulator.fresh()

    simulator.export(tmp_path, base_url="http://127.0.0.1:8001")

    facts = json.loads((tmp_path / "partner.json").read_text())
    pairs = [("sp_serial", facts, "sp_key_file", "sp_certificate_file")]
    pairs += [("sub_serial_no", one, "key_file", "certificate_file") for one in facts["hospitals"]]
    for serial, owner, key, certificate in pairs:
        private = load_pem_private_key((tmp_path / owner[key]).read_bytes(), password=None)
        loaded = load_pem_x509_certificate((tmp_path / owner[certificate]).read_bytes())
        assert loaded.public_key() == private.public_key()
        assert f"{loaded.serial_number:X}" == owner[serial]
    assert len(facts["hospitals"]) == 2
    assert facts["mch_id"] == simulator.world.partner.mch_id


def test_no_two_parties_share_a_key():
    world = Simulator.fresh().world

    held = [
        *(one.key for one in world.partner.hospitals),
        world.partner.key,
        world.merchant_key,
        world.platform_key,
        world.next_platform_key,
        world.wechat_key,
    ]
    assert len(set(held)) == 7
    assert not any(key in repr(world) for key in (*held, world.partner.apiv2_key))


def test_an_older_world_keeps_what_it_has_and_gets_what_it_lacks(tmp_path):
    world = Simulator.load(tmp_path).world
    path = tmp_path / "simulator.json"
    kept = json.loads(path.read_text())
    later = ("partner", "next_platform_key", "next_platform_certificate")
    path.write_text(json.dumps({name: fact for name, fact in kept.items() if name not in later}))

    first, second = Simulator.load(tmp_path).world, Simulator.load(tmp_path).world

    assert (first.merchant_key, first.apiv2_key) == (world.merchant_key, world.apiv2_key)
    assert first.partner.apiv2_key != world.partner.apiv2_key
    assert first == second
