import json
import stat
import threading
import uuid
from datetime import date

import httpx
import pytest
from stdnum.iso7064 import mod_11_2

from faceauth.simulator import Simulator, listen, people
from faceauth.wechat import (
    FACE_SID,
    AuthinfoClient,
    Decryptor,
    Device,
    IdentityClient,
    Party,
    Rejected,
    Signer,
    Unavailable,
    WeChatKeys,
    flatxml,
    v2,
    v3,
)

NOW = 1_790_000_000
RAWDATA = "H0kvnUgGHKuqflNwtNqCdOVpbO4FPSowudTG"
SCAN, AUTHORIZE = "/_sim/scan", "/_sim/authorize"


class Clock:
    """A clock that stands still unless told."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def simulator(clock):
    return Simulator.fresh(clock=clock)


@pytest.fixture
def http(simulator):
    with httpx.Client(
        transport=httpx.WSGITransport(simulator), base_url="http://127.0.0.1", trust_env=False
    ) as client:
        yield client


def merchant(folder, *, clock, transport=None):
    """Both clients, from what the simulator exported and nothing else."""
    facts = json.loads((folder / "merchant.json").read_text())
    party = Party(facts["appid"], facts["mch_id"])
    pem = (folder / facts["merchant_key_file"]).read_bytes()
    public_key = (folder / facts["wechat_public_key_file"]).read_bytes()
    authinfos = AuthinfoClient(
        party, facts["apiv2_key"], base_url=facts["v2_base_url"], transport=transport, clock=clock
    )
    identities = IdentityClient(
        party,
        signer=Signer.from_pem(pem, mch_id=party.mch_id, serial=facts["merchant_serial"]),
        decryptor=Decryptor.from_pem(pem),
        keys=WeChatKeys(
            certificates=[(folder / facts["platform_certificate_file"]).read_bytes()],
            public_keys={facts["wechat_public_key_id"]: public_key},
            apiv3_key=facts["apiv3_key"],
        ),
        base_url=facts["v3_base_url"],
        transport=transport,
        clock=clock,
    )
    return authinfos, identities


def authinfo_request(simulator, **changed):
    fields = {
        "store_id": "SIM001",
        "store_name": "门诊大厅",
        "device_id": "T-1",
        "rawdata": RAWDATA,
        "appid": simulator.world.appid,
        "mch_id": simulator.world.mch_id,
        "now": str(NOW),
        "version": "1",
        "nonce_str": "ibuaiVcKdpRxkhJA",
        "sign_type": "HMAC-SHA256",
        **changed,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    key = simulator.world.apiv2_key
    return flatxml.write({**fields, "sign": v2.sign(fields, key, fields.get("sign_type", "MD5"))})


def issued(simulator, http, **changed):
    body = authinfo_request(simulator, **changed)
    return flatxml.read(http.post("/face/get_wxpayface_authinfo", content=body).content)


def asked(simulator, path, *, timestamp=NOW, nonce="abc", signer=None, query="", **headers):
    world = simulator.world
    signer = signer or Signer.from_pem(
        world.merchant_key.encode(), mch_id=world.mch_id, serial=world.merchant_serial
    )
    header = v3.authorization(
        signer, method="GET", target=path + query, timestamp=timestamp, nonce=nonce
    )
    return {"Authorization": header, "Accept": "application/json", **headers}


def users_query(simulator, *, info_type="ASK_REAL_NAME", appid=None):
    return f"?info_type={info_type}&appid={appid or simulator.world.appid}"


# the whole way


def test_a_stranger_walks_the_whole_way(simulator, http, clock, tmp_path):
    simulator.export(tmp_path, base_url="http://127.0.0.1")
    authinfos, identities = merchant(
        tmp_path, clock=clock, transport=httpx.WSGITransport(simulator)
    )

    device = Device(simulator.world.store_id, "门诊大厅", "T-1")
    authinfo = authinfos.fetch(device, rawdata=RAWDATA).authinfo
    seen = http.post(SCAN, json={"authinfo": authinfo, "person": "stranger-7"}).json()
    agreed = http.post(AUTHORIZE, json={"face_sid": seen["face_sid"], "quit_face_auth": "0"})
    identity = identities.open(identities.ask(seen["face_sid"]).body)

    assert agreed.json()["return_code"] == "SUCCESS"
    assert identity.openid == seen["openid"]
    assert identity.real_name == people.find("stranger-7").name


def test_a_restart_forgets_no_key_and_no_authinfo(clock, tmp_path):
    before = Simulator.load(tmp_path, clock=clock)
    with httpx.Client(transport=httpx.WSGITransport(before), base_url="http://s") as http:
        authinfo = issued(before, http)["authinfo"]

    after = Simulator.load(tmp_path, clock=clock)

    assert after.world == before.world
    assert after.camera.scan({"authinfo": authinfo, "person": "zhangsan"})["face_sid"]


def test_only_the_owner_may_read_what_is_kept_and_exported(tmp_path):
    simulator = Simulator.load(tmp_path / "new")

    simulator.export(tmp_path / "new", base_url="http://127.0.0.1:8001")

    files = sorted((tmp_path / "new").iterdir())
    assert [path.name for path in files] == [
        "merchant.json",
        "merchant_certificate.pem",
        "merchant_key.pem",
        "platform_certificate.pem",
        "simulator.json",
        "wechat_public_key.pem",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert simulator.world.merchant_key not in repr(simulator.world)


def test_a_served_simulator_can_be_slow(clock, tmp_path):
    simulator = Simulator.fresh(clock=clock)
    with listen(simulator) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        simulator.export(tmp_path, base_url=server.base_url)
        _, identities = merchant(tmp_path, clock=clock)
        identities._hosts[0].timeout = httpx.Timeout(0.1)
        simulator.expect("slow", seconds=0.4)
        face_sid = simulator.meet("zhangsan")

        with pytest.raises(Unavailable, match="timeout"):
            identities.ask(face_sid)
        identities._hosts[0].timeout = httpx.Timeout(5)
        answer = identities.ask(face_sid)
        identities.close()
        server.shutdown()

    assert identities.open(answer.body).real_name == "张三"


# authinfo


def test_an_authinfo_is_signed_as_it_was_asked_for(simulator, http):
    for sign_type in ("MD5", "HMAC-SHA256"):
        answer = issued(simulator, http, sign_type=sign_type)

        assert answer["return_code"] == "SUCCESS"
        assert answer["sign"] == v2.sign(answer, simulator.world.apiv2_key, sign_type)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"sign_type": None}, ("PARAM_ERROR", "请按格式填写mch_id,appid以及sign_type", "unsigned")),
        ({"appid": None}, ("PARAM_ERROR", "请按格式填写mch_id,appid以及sign_type", "unsigned")),
        ({"appid": "wx1"}, ("ERROR", "商户号和appid不匹配", "signed")),
        ({"store_id": None}, ("PARAM_ERROR", "参数错误", "signed")),
        ({"now": "1790000000000"}, ("SYSTEMERROR", "生成authinfo失败", "signed")),
        ({"now": str(NOW - 301)}, ("SYSTEMERROR", "生成authinfo失败", "signed")),
        ({"rawdata": "a b"}, ("ERROR", "无效的RawData数据", "signed")),
    ],
)
def test_a_bad_request_is_answered_in_wechats_words(simulator, http, changed, told):
    answer = issued(simulator, http, **changed)

    signed = "signed" if "sign" in answer else "unsigned"
    assert (answer["return_code"], answer["return_msg"], signed) == told


def test_a_badly_signed_request_is_told_so(simulator, http):
    body = authinfo_request(simulator).replace("门诊".encode(), "住院".encode())

    answer = flatxml.read(http.post("/face/get_wxpayface_authinfo", content=body).content)

    assert answer == {"return_code": "PARAM_ERROR", "return_msg": "签名错误"}


def test_what_is_not_xml_is_told_so(http):
    answer = flatxml.read(http.post("/face/get_wxpayface_authinfo", content=b"{}").content)

    assert answer["return_msg"] == "请求报文格式错误"


# the camera


def test_an_authinfo_ends_after_an_hour(simulator, http, clock):
    authinfo = issued(simulator, http)["authinfo"]
    clock.now += 3601

    answer = http.post(SCAN, json={"authinfo": authinfo, "person": "zhangsan"}).json()

    assert answer == {
        "return_code": "PARAM_ERROR",
        "return_msg": "AuthInfo License Error",
        "err_code": 271382020,
    }


@pytest.mark.parametrize("authinfo", ["", "AAAA", "not base64!", "A" * 400])
def test_what_was_not_issued_here_is_no_authinfo(http, authinfo):
    answer = http.post(SCAN, json={"authinfo": authinfo, "person": "zhangsan"}).json()

    assert answer["return_msg"] == "AuthInfo License Error"
    assert "face_sid" not in answer


@pytest.mark.parametrize("name", ["device_id", "store_id", "appid", "mch_id"])
def test_an_authinfo_is_good_on_its_own_terminal_only(simulator, http, name):
    asked = {"authinfo": issued(simulator, http)["authinfo"], "person": "zhangsan"}

    answer = http.post(SCAN, json={**asked, name: "another"}).json()

    assert answer["return_msg"] == "AuthInfo License Error"


def test_nobody_in_front_of_the_camera_is_nobody(simulator, http):
    authinfo = issued(simulator, http)["authinfo"]

    answer = http.post(SCAN, json={"authinfo": authinfo, "person": "nobody"}).json()

    assert answer["return_code"] == "FACE_UNKNOWN"


def test_a_person_has_one_openid_and_many_face_sids(simulator, http):
    asked = {"authinfo": issued(simulator, http)["authinfo"], "person": "zhangsan"}

    first, second = (http.post(SCAN, json=asked).json() for _ in range(2))

    assert first["openid"] == second["openid"]
    assert first["face_sid"] != second["face_sid"]
    assert FACE_SID.fullmatch(first["face_sid"])


@pytest.mark.parametrize(
    ("person", "asked", "code"),
    [
        ("zhangsan", {}, "SUCCESS"),
        ("zhangsan", {"quit_face_auth": "1"}, "SUCCESS"),
        ("zhangsan", {"quit_face_auth": 1}, "PARAM_ERROR"),
        ("decliner", {}, "USER_CANCEL"),
        ("decliner", {"quit_face_auth": "1"}, "SUCCESS"),
    ],
)
def test_the_screen_answers_for_the_person(simulator, http, person, asked, code):
    face_sid = simulator.meet(person, authorized=False)

    answer = http.post(AUTHORIZE, json={"face_sid": face_sid, **asked}).json()

    assert answer["return_code"] == code


def test_nobody_is_asked_twice(simulator, http):
    face_sid = simulator.meet("decliner", authorized=False)

    codes = [
        http.post(AUTHORIZE, json={"face_sid": face_sid, "quit_face_auth": quits}).json()
        for quits in ("0", "0", "1")
    ]

    assert [code["return_code"] for code in codes] == ["USER_CANCEL", "ERROR", "ERROR"]


# who it was


@pytest.mark.parametrize("quits", ["0", "1"])
def test_without_a_yes_there_is_no_name(simulator, http, clock, tmp_path, quits):
    simulator.export(tmp_path, base_url="http://127.0.0.1")
    _, identities = merchant(tmp_path, clock=clock, transport=httpx.WSGITransport(simulator))
    face_sid = simulator.meet("decliner", authorized=False)
    http.post(AUTHORIZE, json={"face_sid": face_sid, "quit_face_auth": quits})

    with pytest.raises(Rejected, match="NO_AUTH"):
        identities.ask(face_sid)


def test_a_face_sid_lasts_ten_minutes(simulator, clock, tmp_path):
    simulator.export(tmp_path, base_url="http://127.0.0.1")
    _, identities = merchant(tmp_path, clock=clock, transport=httpx.WSGITransport(simulator))
    face_sid = simulator.meet("zhangsan")

    clock.now += 600
    identities.ask(face_sid)
    clock.now += 1

    with pytest.raises(Rejected, match="RESOURCE_NOT_EXISTS"):
        identities.ask(face_sid)


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"timestamp": NOW - 301}, 401, "SIGN_ERROR"),
        ({"timestamp": 1}, 401, "SIGN_ERROR"),
        ({"nonce": "not alphanumeric"}, 401, "SIGN_ERROR"),
        ({"Authorization": "Bearer x"}, 401, "SIGN_ERROR"),
        ({"Authorization": ""}, 401, "SIGN_ERROR"),
        ({"query": ""}, 401, "SIGN_ERROR"),
        ({"Accept": ""}, 400, "INVALID_REQUEST"),
        ({"User-Agent": ""}, 400, "INVALID_REQUEST"),
    ],
)
def test_a_request_that_is_not_in_order_is_sent_away(simulator, http, changed, status, code):
    path = f"/v3/facemch/users/{simulator.meet('zhangsan')}"
    query = users_query(simulator)
    headers = asked(simulator, path, **{"query": query, **changed})

    answer = http.get(path + query, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "wechatpay-signature" not in answer.headers
    assert answer.headers["request-id"]


def test_a_strangers_signature_is_sent_away(simulator, http):
    path, query = f"/v3/facemch/users/{uuid.uuid4()}", users_query(simulator)
    world = simulator.world
    forger = Signer.from_pem(
        world.platform_key.encode(), mch_id=world.mch_id, serial=world.merchant_serial
    )
    unknown = Signer.from_pem(world.merchant_key.encode(), mch_id=world.mch_id, serial="AB")

    for signer in (forger, unknown):
        answer = http.get(path + query, headers=asked(simulator, path, query=query, signer=signer))
        assert answer.status_code == 401


@pytest.mark.parametrize(
    "changed", [{"info_type": "ASK_UNION_ID"}, {"appid": "wx1"}], ids=["info_type", "appid"]
)
def test_a_question_nobody_may_ask_is_refused_and_signed(simulator, http, changed):
    path = f"/v3/facemch/users/{simulator.meet('zhangsan')}"
    query = users_query(simulator, **changed)

    answer = http.get(path + query, headers=asked(simulator, path, query=query))

    assert (answer.status_code, answer.json()["code"]) == (400, "PARAM_ERROR")
    assert answer.headers["wechatpay-signature"]


def test_the_question_chooses_the_key_that_signs_the_answer(simulator, http):
    path, query = f"/v3/facemch/users/{simulator.meet('zhangsan')}", users_query(simulator)
    chosen = {"Wechatpay-Serial": simulator.world.wechat_public_key_id}

    by_default = http.get(path + query, headers=asked(simulator, path, query=query))
    by_choice = http.get(path + query, headers=asked(simulator, path, query=query, **chosen))

    assert by_default.headers["wechatpay-serial"] == simulator.world.platform_serial
    assert by_choice.headers["wechatpay-serial"] == simulator.world.wechat_public_key_id


# scenarios


def test_a_scenario_ends_after_its_times_and_stays_at_its_endpoint(simulator, http):
    told = {"name": "down", "times": 2, "endpoint": "authinfo"}
    http.post("/_sim/scenario", json=told).raise_for_status()

    face = f"/v3/facemch/users/{uuid.uuid4()}"
    paths = [("GET", face)] + [("POST", "/face/get_wxpayface_authinfo")] * 3

    codes = [http.request(method, path).status_code for method, path in paths]

    assert codes == [401, 503, 503, 200]


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"name": "sunshine"},
        {"name": "entities", "endpoint": "users"},
        {"name": "stale", "endpoint": "authinfo"},
        {"name": "down", "times": "often"},
        {"name": "down", "endpoint": []},
        [],
    ],
)
def test_a_scenario_that_cannot_be_is_refused(http, told):
    assert http.post("/_sim/scenario", json=told).status_code == 400


def test_what_is_not_there_is_not_found(http):
    assert http.get("/").status_code == 404
    assert http.get("/_sim/secrets").status_code == 404


# the cast


def test_the_cast_introduces_itself_without_its_numbers(http):
    cast = http.get("/_sim/people").json()

    assert {"zhangsan", "minor", "decliner", "impostor"} <= {person["id"] for person in cast}
    assert not any("document_number" in person for person in cast)


def test_nobody_in_the_cast_can_exist():
    everyone = [*people.CAST.values(), *(people.find(f"stranger-{n}") for n in range(2_000))]
    citizens = [person for person in everyone if person.document_type in (1, 6, 7)]

    assert all(person.document_number.startswith("99") for person in citizens)
    assert all(mod_11_2.is_valid(person.document_number) for person in citizens)


def test_no_two_strangers_share_a_document_and_all_are_grown_up():
    strangers = [people.find(f"stranger-{number}") for number in range(2_000)]
    births = [date.fromisoformat(person.document_number[6:14]) for person in strangers]

    assert len({person.document_number for person in strangers}) == 2_000
    assert min(births).year >= 1937
    assert max(births).year <= 2007
    assert people.find("stranger-7") == people.find("stranger-7")


@pytest.mark.parametrize("person_id", ["stranger-", "stranger-01", "stranger-１", "nobody", ""])
def test_nobody_answers_to_another_name(person_id):
    assert people.find(person_id) is None


def test_the_impostor_shares_a_document_and_not_a_name():
    zhangsan, impostor = people.CAST["zhangsan"], people.CAST["impostor"]

    assert zhangsan.document_number == impostor.document_number
    assert zhangsan.name != impostor.name
    assert zhangsan.name not in repr(zhangsan)
    assert zhangsan.document_number not in repr(zhangsan)
