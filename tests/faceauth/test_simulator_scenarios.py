import base64

import httpx
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from stdnum.iso7064 import mod_11_2

from faceauth.simulator import people
from faceauth.simulator.scenarios import SCENARIOS
from faceauth.simulator.weather import UnknownScenario
from faceauth.wechat import flatxml
from faceauth.wechat.documents import judge_number
from faceauth.wechat.errors import Untrusted
from tests.faceauth.asking import NOW, Asking, opened, v2_signature, verify

ENDPOINTS = ("authinfo", "users", "certificates")
EVERYWHERE = [(name, at) for name in SCENARIOS for at in sorted(SCENARIOS[name].endpoints)]


@pytest.fixture
def wechat():
    return Asking()


def asked(wechat, endpoint, *, device_id="T-1"):
    if endpoint == "authinfo":
        return wechat.authinfo(device_id=device_id)
    if endpoint == "certificates":
        return wechat.certificates()
    return wechat.users(wechat.simulator.meet("zhangsan", device_id=device_id))


def certificates_in(answer, wechat):
    def opened_one(item):
        sealed = base64.b64decode(item["encrypt_certificate"]["ciphertext"])
        nonce = item["encrypt_certificate"]["nonce"].encode()
        return AESGCM(wechat.world.apiv3_key.encode()).decrypt(nonce, sealed, b"certificate")

    return [opened_one(item).decode() for item in answer.json()["data"]]


# all of them


@pytest.mark.parametrize(("name", "endpoint"), EVERYWHERE)
def test_a_scenario_says_that_it_played_and_ends(wechat, name, endpoint):
    wechat.simulator.expect(name, endpoint=endpoint, seconds=0)

    try:
        asked(wechat, endpoint)
    except httpx.TransportError:
        assert wechat.reply.fault
    verdict = wechat.verdict
    afterwards = asked(wechat, endpoint)

    assert verdict.startswith(f"场景「{SCENARIOS[name].label}」：")
    assert wechat.verdict == "通过"
    assert afterwards.status_code == 200
    assert wechat.simulator.weather.at(endpoint) is None


def test_every_scenario_has_words_of_its_own():
    labels = [scenario.label for scenario in SCENARIOS.values()]

    assert len(set(labels)) == len(labels)
    assert all(scenario.explains and scenario.endpoints for scenario in SCENARIOS.values())


# on the way


JSON = ("content-type", "application/json; charset=utf-8")
HTML = ("content-type", "text/html")
OUTAGES = {
    "500": (500, JSON, b"SYSTEM_ERROR"),
    "down": (503, JSON, b"SERVICE_UNAVAILABLE"),
    "rate-limited": (429, ("retry-after", "7"), b"RATELIMIT_EXCEEDED"),
    "202": (202, ("content-length", "0"), b""),
    "empty": (200, ("content-length", "0"), b""),
    "redirect": (302, ("location", "https://elsewhere.invalid/"), b""),
    "html": (200, HTML, b"<!DOCTYPE html>"),
    "html-404": (404, HTML, b"<!DOCTYPE html>"),
    "oversized": (200, ("content-length", "200000"), b"  "),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage_takes_the_place_of_the_answer(wechat, endpoint, name):
    status, header, body = OUTAGES[name]
    wechat.simulator.expect(name, endpoint=endpoint)

    answer = asked(wechat, endpoint)

    assert answer.status_code == status
    assert header in answer.headers.items()
    assert body in answer.content
    assert "wechatpay-signature" not in answer.headers


@pytest.mark.parametrize(
    ("name", "number"), [("rate-limited", "268447840"), ("500", "268435456"), ("html", "0")]
)
def test_an_outage_of_wechats_own_has_an_internal_number(wechat, name, number):
    wechat.simulator.expect(name)

    assert asked(wechat, "users").headers["request-id"].endswith(f"-{number}")


@pytest.mark.parametrize(("told", "sent"), [(120, "120"), ("", ""), ("soon", "soon")])
def test_a_rate_limit_names_any_wait(wechat, told, sent):
    wechat.simulator.expect("rate-limited", retry_after=told)

    assert asked(wechat, "users").headers["retry-after"] == sent


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("drop", httpx.RemoteProtocolError),
        ("reset", httpx.ReadError),
        ("drip", httpx.ReadTimeout),
    ],
)
def test_without_a_connection_to_break_a_fault_is_an_exception(wechat, endpoint, name, error):
    wechat.simulator.expect(name, endpoint=endpoint)

    with pytest.raises(error):
        asked(wechat, endpoint)


# the signature of v3


@pytest.mark.parametrize("endpoint", ["users", "certificates"])
@pytest.mark.parametrize("name", ["forged", "truncated"])
def test_a_spoilt_answer_is_not_wechats(wechat, endpoint, name):
    wechat.simulator.expect(name, endpoint=endpoint)

    answer = asked(wechat, endpoint)

    assert answer.headers["wechatpay-serial"] == wechat.world.platform_serial
    with pytest.raises(InvalidSignature):
        verify(answer, wechat.world.platform_certificate)


@pytest.mark.parametrize("endpoint", ["users", "certificates"])
def test_an_unsigned_answer_is_whole_but_for_its_signature(wechat, endpoint):
    wechat.simulator.expect("unsigned", endpoint=endpoint)

    answer = asked(wechat, endpoint)

    assert answer.json()
    assert not any(name.startswith("wechatpay-") for name in answer.headers)


@pytest.mark.parametrize("endpoint", ["users", "certificates"])
@pytest.mark.parametrize(("name", "off"), [("stale", -400), ("future", 400)])
def test_an_answer_of_another_time_is_well_signed(wechat, endpoint, name, off):
    wechat.simulator.expect(name, endpoint=endpoint)

    answer = asked(wechat, endpoint)

    assert int(answer.headers["wechatpay-timestamp"]) == NOW + off
    verify(answer, wechat.world.platform_certificate)


@pytest.mark.parametrize("endpoint", ["users", "certificates"])
def test_a_signature_may_be_a_probe(wechat, endpoint):
    wechat.simulator.expect("signtest", endpoint=endpoint)

    signature = asked(wechat, endpoint).headers["wechatpay-signature"]

    assert signature.startswith("WECHATPAY/SIGNTEST/")
    assert len(signature) == 344  # as long as a real one


@pytest.mark.parametrize("endpoint", ["users", "certificates"])
def test_a_signature_may_be_no_base64(wechat, endpoint):
    wechat.simulator.expect("bad-base64", endpoint=endpoint)

    with pytest.raises(ValueError, match=r"base64|padding"):
        verify(asked(wechat, endpoint), wechat.world.platform_certificate)


@pytest.mark.parametrize("endpoint", ["users", "certificates"])
def test_a_malformed_answer_is_signed_and_no_json(wechat, endpoint):
    wechat.simulator.expect("malformed", endpoint=endpoint)

    answer = asked(wechat, endpoint)

    verify(answer, wechat.world.platform_certificate)
    with pytest.raises(ValueError, match="delimiter"):
        answer.json()


# WeChat's keys


def test_an_unknown_certificate_is_handed_out_nowhere(wechat):
    wechat.simulator.expect("unknown-certificate")

    serial = asked(wechat, "users").headers["wechatpay-serial"]

    handed_out = [item["serial_no"] for item in wechat.certificates().json()["data"]]
    assert serial not in handed_out
    assert serial not in (wechat.world.next_platform_serial, wechat.world.wechat_public_key_id)


def test_in_rotation_the_new_certificate_signs_and_both_are_handed_out(wechat):
    world = wechat.world
    wechat.simulator.expect("rotating")

    answer = asked(wechat, "users")
    fetched = wechat.certificates()
    afterwards = asked(wechat, "users")

    verify(answer, world.next_platform_certificate)
    verify(fetched, world.next_platform_certificate)
    both = [world.platform_certificate, world.next_platform_certificate]
    assert certificates_in(fetched, wechat) == both
    verify(afterwards, world.platform_certificate)


def test_after_rotation_the_old_certificate_has_ended(wechat):
    wechat.simulator.expect("rotated-expired", times=0)

    fetched = wechat.certificates()

    ended, following = map(
        x509.load_pem_x509_certificate,
        (pem.encode() for pem in certificates_in(fetched, wechat)),
    )
    assert ended.not_valid_after_utc.timestamp() < NOW < following.not_valid_after_utc.timestamp()
    assert fetched.json()["data"][0]["expire_time"] == "2025-12-31T08:00:00+08:00"
    verify(asked(wechat, "users"), wechat.world.next_platform_certificate)


def test_a_rotation_lasts_until_it_is_cleared(wechat):
    wechat.simulator.expect("rotating")
    asked(wechat, "users")

    during = len(wechat.certificates().json()["data"])
    wechat.simulator.clear("rotating")

    assert (during, len(wechat.certificates().json()["data"])) == (2, 1)


def test_a_rotation_of_the_certificates_alone_is_counted(wechat):
    wechat.simulator.expect("rotating", endpoint="certificates")

    counts = [len(wechat.certificates().json()["data"]) for _ in range(2)]

    assert counts == [2, 1]


def test_during_the_switch_to_a_public_key_both_sign_in_turn(wechat):
    world = wechat.world
    wechat.simulator.expect("pubkey-switch", times=4)
    face_sid = wechat.simulator.meet("zhangsan")
    chosen = {"Wechatpay-Serial": world.wechat_public_key_id}

    answers = [wechat.users(face_sid, headers=headers) for headers in (None, None, chosen, chosen)]

    serials = [answer.headers["wechatpay-serial"] for answer in answers]
    assert serials == [world.wechat_public_key_id, world.platform_serial] * 2
    for answer, key in zip(
        answers, [world.wechat_key, world.platform_certificate] * 2, strict=True
    ):
        verify(answer, key)


def test_a_merchant_with_a_public_key_only_has_no_certificates(wechat):
    wechat.simulator.expect("pubkey-only", times=0)

    answer = asked(wechat, "users")
    fetched = wechat.certificates()

    verify(answer, wechat.world.wechat_key)
    verify(fetched, wechat.world.wechat_key)
    assert (fetched.status_code, fetched.json()["code"]) == (404, "RESOURCE_NOT_EXISTS")


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("no-certificates", 404, {"code": "RESOURCE_NOT_EXISTS"}),
        ("certificates-forbidden", 403, {"code": "NOT_ENOUGH"}),
        ("certificates-empty", 200, {"data": []}),
    ],
)
def test_there_may_be_no_certificates(wechat, name, status, expected):
    wechat.simulator.expect(name)

    answer = wechat.certificates()

    assert answer.status_code == status
    assert expected.items() <= answer.json().items()
    verify(answer, wechat.world.platform_certificate)


# what is inside


def test_a_name_may_be_padded_as_everywhere_else(wechat):
    wechat.simulator.expect("oaep")

    answer = asked(wechat, "users").json()

    key = load_pem_private_key(wechat.world.merchant_key.encode(), password=None)
    sealed = base64.b64decode(answer["real_name_info"]["encrypted_real_name"])
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
    assert key.decrypt(sealed, oaep).decode() == "张三"


def test_a_ciphertext_may_be_noise_of_the_right_length(wechat):
    wechat.simulator.expect("garbage")

    answer = asked(wechat, "users")

    sealed = answer.json()["real_name_info"]["encrypted_real_name"]
    assert len(base64.b64decode(sealed, validate=True)) == 256
    assert opened(answer, wechat.world.merchant_key)[0] != "张三".encode()


@pytest.mark.parametrize("person", ["zhangsan", "rare"])
def test_a_name_may_be_in_gbk(wechat, person):
    wechat.simulator.expect("gbk")

    answer = wechat.users(wechat.simulator.meet(person))

    name, number = opened(answer, wechat.world.merchant_key)
    assert name.decode("gb18030") == people.CAST[person].name
    assert number.decode() == people.CAST[person].document_number


@pytest.mark.parametrize("person", ["zhangsan", *(f"stranger-{n}" for n in range(30))])
def test_a_last_digit_may_be_wrong(wechat, person):
    wechat.simulator.expect("wrong-checksum")

    answer = wechat.users(wechat.simulator.meet(person))

    number = opened(answer, wechat.world.merchant_key)[1].decode()
    right = people.find(person).document_number
    assert number[:-1] == right[:-1]
    assert not mod_11_2.is_valid(number)


@pytest.mark.parametrize("document_type", range(1, 13))
@pytest.mark.parametrize("person", ["zhangsan", "foreigner"])
def test_a_document_may_be_of_any_type_with_a_number_that_fits(wechat, person, document_type):
    wechat.simulator.expect("credential-type", value=document_type, times=2)

    numbers = set()
    for _ in range(2):
        answer = wechat.users(wechat.simulator.meet(person))
        numbers.add(opened(answer, wechat.world.merchant_key)[1].decode())

    assert answer.json()["real_name_info"]["credential_type"] == document_type
    assert len(numbers) == 1
    assert judge_number(*numbers, document_type=document_type)


# what v2 answers


def test_a_forged_authinfo_is_badly_signed(wechat):
    wechat.simulator.expect("forged", endpoint="authinfo")

    answer = flatxml.read(asked(wechat, "authinfo").content)

    assert answer["return_code"] == "SUCCESS"
    assert answer["sign"] != v2_signature(answer, wechat.world.apiv2_key, "HMAC-SHA256")


def test_an_unsigned_authinfo_has_all_but_its_signature(wechat):
    wechat.simulator.expect("unsigned", endpoint="authinfo")

    answer = flatxml.read(asked(wechat, "authinfo").content)

    assert answer["authinfo"]
    assert "sign" not in answer


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("malformed", "not_xml"),
        ("truncated", "not_xml"),
        ("entities", "entities"),
        ("dtd", "entities"),
    ],
)
def test_an_authinfo_may_come_in_bad_xml(wechat, name, fact):
    wechat.simulator.expect(name, endpoint="authinfo")

    answer = asked(wechat, "authinfo")

    with pytest.raises(Untrusted) as caught:
        flatxml.read(answer.content)
    assert caught.value.fact == fact
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("device-unregistered", "该设备型号未登记,请联系微信支付官方。"),
        ("sdk-outdated", "本设备刷脸版本过低,请升级后重试"),
        ("wrong-appid", "商户号和appid不匹配"),
    ],
)
def test_an_authinfo_may_be_refused_to_a_device(wechat, name, message):
    wechat.simulator.expect(name, endpoint="authinfo")

    answer = flatxml.read(asked(wechat, "authinfo").content)

    assert (answer["return_code"], answer["return_msg"]) == ("ERROR", message)
    assert answer["sign"] == v2_signature(answer, wechat.world.apiv2_key, "HMAC-SHA256")


@pytest.mark.parametrize(
    ("name", "status", "code", "number"),
    [
        ("no-permission", 403, "NO_AUTH", "268435456"),
        ("wrong-appid", 400, "PARAM_ERROR", "268445527"),
    ],
)
def test_a_question_may_be_refused_to_a_merchant(wechat, name, status, code, number):
    wechat.simulator.expect(name, endpoint="users")

    answer = asked(wechat, "users")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["request-id"].endswith(f"-{number}")
    verify(answer, wechat.world.platform_certificate)


# when, where and for whom


def test_a_scenario_of_no_times_goes_on_until_it_is_cleared(wechat):
    wechat.simulator.expect("down", times=0, endpoint="users")

    during = {asked(wechat, "users").status_code for _ in range(20)}
    wechat.simulator.clear("down")

    assert during == {503}
    assert asked(wechat, "users").status_code == 200


def test_one_is_cleared_and_the_others_stay(wechat):
    wechat.simulator.expect("down", times=0)
    wechat.simulator.expect("500", times=0)

    wechat.simulator.clear("down")
    first = asked(wechat, "users").status_code
    wechat.simulator.clear()

    assert (first, asked(wechat, "users").status_code) == (500, 200)


@pytest.mark.parametrize("endpoint", ["authinfo", "users"])
def test_a_scenario_may_be_for_one_terminal(wechat, endpoint):
    wechat.simulator.expect("down", times=0, device_id="T-2")

    codes = [
        asked(wechat, endpoint, device_id=device_id).status_code
        for device_id in ("T-1", "T-2", "T-1", "T-2")
    ]

    assert codes == [200, 503, 200, 503]


def test_a_terminal_is_known_by_the_authinfo_its_face_sid_came_from(wechat):
    wechat.simulator.expect("down", device_id="T-2", endpoint="users")
    sids = []
    for device_id in ("T-1", "T-2"):
        authinfo = flatxml.read(wechat.authinfo(device_id=device_id).content)["authinfo"]
        seen = wechat.simulator.camera.scan({"authinfo": authinfo, "person": "zhangsan"})
        sids.append(seen["face_sid"])

    assert [wechat.users(face_sid).status_code for face_sid in sids] == [403, 503]


def test_the_certificates_are_spared_unless_they_are_named(wechat):
    wechat.simulator.expect("down")

    spared = wechat.certificates().status_code
    wechat.simulator.expect("down", endpoint="certificates")

    assert (spared, wechat.certificates().status_code) == (200, 503)
    assert asked(wechat, "users").status_code == 503


def test_what_is_still_to_come_is_told(wechat):
    told = {"name": "down", "times": 3, "endpoint": "users", "device_id": "T-1"}
    wechat.http.post("/_sim/scenario", json=told).raise_for_status()
    wechat.http.post("/_sim/scenario", json={"name": "slow", "times": 0, "seconds": 0.5})
    asked(wechat, "users")

    down, slow = wechat.http.get("/_sim/scenario").json()

    assert (down["name"], down["label"], down["left"], down["played"]) == (
        "down",
        "服务不可用",
        2,
        1,
    )
    assert (down["endpoints"], down["device_id"]) == (["users"], "T-1")
    assert (slow["name"], slow["left"], slow["seconds"]) == ("slow", None, 0.5)


@pytest.mark.parametrize(
    ("told", "left"), [({}, []), ({"name": "down"}, ["slow"]), ({"name": None}, [])]
)
def test_scenarios_are_cleared_over_http(wechat, told, left):
    wechat.simulator.expect("down", times=5)
    wechat.simulator.expect("slow", times=5)

    wechat.http.request("DELETE", "/_sim/scenario", json=told).raise_for_status()

    assert [spell["name"] for spell in wechat.http.get("/_sim/scenario").json()] == left


@pytest.mark.parametrize("told", [{"name": "sunshine"}, {"name": 7}, {"name": []}, []])
def test_what_is_no_scenario_cannot_be_cleared(wechat, told):
    wechat.simulator.expect("down", times=5)

    answer = wechat.http.request("DELETE", "/_sim/scenario", json=told)

    assert answer.status_code == 400
    assert wechat.simulator.weather.active()


def test_a_scenario_that_is_over_is_forgotten(wechat):
    for _ in range(3):
        wechat.simulator.expect("down", endpoint="users")
        asked(wechat, "users")

    assert wechat.simulator.weather.active() == []
    assert len(wechat.simulator.weather._spells) == 1


@pytest.mark.parametrize(
    "told",
    [
        {"name": "down", "times": -1},
        {"name": "slow", "seconds": -1},
        {"name": "slow", "seconds": 601},
        {"name": "slow", "seconds": "nan"},
        {"name": "credential-type", "value": 0},
        {"name": "credential-type", "value": 13},
        {"name": "credential-type", "value": "one"},
        {"name": "rate-limited", "retry_after": "7\r\nSet-Cookie: a"},
        {"name": "rate-limited", "retry_after": "七"},
        {"name": "no-certificates", "endpoint": "users"},
        {"name": "oaep", "endpoint": "certificates"},
    ],
)
def test_numbers_that_cannot_be_are_refused(wechat, told):
    assert wechat.http.post("/_sim/scenario", json=told).status_code == 400
    assert wechat.simulator.weather.active() == []


@pytest.mark.parametrize(
    "told",
    [
        rb'{"name": "down", "times": 1e400}',
        rb'{"name": "credential-type", "value": 1e400}',
        rb'{"name": "slow", "seconds": 1%s}' % (b"0" * 400),
        rb'{"name": "down", "device_id": "\ud800"}',
    ],
)
def test_what_cannot_be_counted_or_shown_is_refused(wechat, told):
    headers = {"Content-Type": "application/json"}

    answer = wechat.http.post("/_sim/scenario", content=told, headers=headers)

    assert answer.status_code == 400
    assert wechat.http.get("/_sim/state").json()["active"] == []


def test_a_scenario_nobody_knows_is_a_mistake_in_a_test(wechat):
    with pytest.raises(UnknownScenario):
        wechat.simulator.expect("sunshine")
