import json
import stat
import uuid
from datetime import date

import httpx
import pytest
from stdnum.iso7064 import mod_11_2

from devices.sdk import FaceParams, FaceSDK
from devices.sdk.errors import CredentialExpired
from devices.sdk.simulated import SimulatedLibrary
from faceauth.simulator import Simulator, people
from faceauth.simulator.app import UnknownPerson, digest
from faceauth.wechat import (
    FACE_SID,
    AuthinfoClient,
    Credential,
    Decryptor,
    Device,
    IdentityClient,
    LocalSigner,
    Party,
    Verifier,
    flatxml,
    v2,
)
from tests.faceauth.asking import RAWDATA, Asking, verify

SCAN, AUTHORIZE = "/_sim/scan", "/_sim/authorize"


@pytest.fixture
def wechat():
    return Asking()


@pytest.fixture
def simulator(wechat):
    return wechat.simulator


@pytest.fixture
def clock(wechat):
    return wechat.clock


@pytest.fixture
def http(wechat):
    return wechat.http


def merchant(folder, **options):
    """Both clients of the 普通商户, from what was exported and nothing else."""
    facts = json.loads((folder / "merchant.json").read_text())
    party = Party(facts["appid"], facts["mch_id"])
    key = (folder / facts["merchant_key_file"]).read_bytes()
    options |= {"serial": facts["merchant_serial"], "key": key, "opener": key}
    return clients(folder, facts, party, **options)


def partner(folder, number, **options):
    """Both clients of the 服务商 for one hospital, from what was exported and nothing else."""
    facts = json.loads((folder / "partner.json").read_text())
    hospital = facts["hospitals"][number]
    party = Party(facts["appid"], facts["mch_id"], hospital["sub_appid"], hospital["sub_mch_id"])
    key = (folder / facts["sp_key_file"]).read_bytes()
    opener = (folder / hospital["key_file"]).read_bytes()
    options |= {"serial": facts["sp_serial"], "key": key, "opener": opener}
    options["sub_serial_no"] = hospital["sub_serial_no"]
    return clients(folder, facts, party, **options)


def clients(folder, facts, party, *, serial, key, opener, simulator, clock, sub_serial_no=""):
    reach = {"transport": httpx.WSGITransport(simulator), "clock": clock}
    public_key = (folder / facts["wechat_public_key_file"]).read_bytes()
    identities = IdentityClient(
        party,
        credential=Credential(party.mch_id, LocalSigner.from_pem(key, serial=serial)),
        decryptor=Decryptor.from_pem(opener),
        verifier=Verifier(
            certificates=[(folder / facts["platform_certificate_file"]).read_bytes()],
            public_keys={facts["wechat_public_key_id"]: public_key},
            apiv3_key=facts["apiv3_key"],
        ),
        sub_serial_no=sub_serial_no,
        base_url=facts["v3_base_url"],
        **reach,
    )
    authinfos = AuthinfoClient(party, facts["apiv2_key"], base_url=facts["v2_base_url"], **reach)
    return authinfos, identities


def issued(wechat, **changed):
    return flatxml.read(wechat.authinfo(**changed).content)


# the whole way


@pytest.mark.parametrize("number", [None, 0, 1])
def test_a_stranger_walks_the_whole_way(simulator, http, clock, tmp_path, number):
    simulator.export(tmp_path, base_url="http://w")
    reach = {"simulator": simulator, "clock": clock}
    authinfos, identities = (
        merchant(tmp_path, **reach) if number is None else partner(tmp_path, number, **reach)
    )

    device = Device(simulator.world.store_id, "门诊大厅", "T-1")
    authinfo = authinfos.fetch(device, rawdata=RAWDATA).authinfo
    seen = http.post(SCAN, json={"authinfo": authinfo, "person": "stranger-7"}).json()
    agreed = http.post(AUTHORIZE, json={"face_sid": seen["face_sid"], "quit_face_auth": "0"})
    identity = identities.open(identities.ask(seen["face_sid"]).body)

    assert agreed.json()["return_code"] == "SUCCESS"
    assert identity.openid == seen["openid"]
    assert identity.sub_openid == seen.get("sub_openid")
    assert identity.real_name == people.find("stranger-7").name


@pytest.mark.parametrize("number", [None, 0])
def test_a_member_is_known_by_the_union_id(simulator, http, clock, tmp_path, number):
    simulator.export(tmp_path, base_url="http://w")
    reach = {"simulator": simulator, "clock": clock}
    authinfos, identities = (
        merchant(tmp_path, **reach) if number is None else partner(tmp_path, number, **reach)
    )

    authinfo = authinfos.fetch(Device("SIM001", "门诊大厅", "T-1"), rawdata=RAWDATA).authinfo
    asked = {"authinfo": authinfo, "person": "zhangsan", "ask_unionid": "1"}
    seen = http.post("/_sim/userinfo", json=asked).json()
    member = identities.open_union(identities.ask_union(seen["token"]).body)

    assert (member.openid, member.sub_openid) == (seen["openid"], seen.get("sub_openid"))
    assert member.union_id


def test_a_restart_forgets_no_key_and_no_authinfo(tmp_path):
    before, after = Asking(), Asking()
    before.restart(tmp_path)
    authinfo = issued(before)["authinfo"]

    after.restart(tmp_path)

    assert after.world == before.world
    asked = {"authinfo": authinfo, "person": "zhangsan"}
    assert after.simulator.camera.scan(asked)["face_sid"]


def test_only_the_owner_may_read_what_is_kept_and_exported(tmp_path):
    simulator = Simulator.load(tmp_path / "new")

    simulator.export(tmp_path / "new", base_url="http://127.0.0.1:8001")

    files = sorted((tmp_path / "new").iterdir())
    assert [path.name for path in files] == [
        "hospital1_certificate.pem",
        "hospital1_key.pem",
        "hospital2_certificate.pem",
        "hospital2_key.pem",
        "merchant.json",
        "merchant_certificate.pem",
        "merchant_key.pem",
        "partner.json",
        "platform_certificate.pem",
        "simulator.json",
        "sp_certificate.pem",
        "sp_key.pem",
        "wechat_public_key.pem",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert simulator.world.merchant_key not in repr(simulator.world)


# authinfo


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_an_authinfo_is_signed_as_it_was_asked_for(wechat, sign_type):
    answer = issued(wechat, sign_type=sign_type)

    assert answer["return_code"] == "SUCCESS"
    assert answer["sign"] == v2.sign(answer, wechat.world.apiv2_key, sign_type)


def test_what_is_not_xml_is_told_so(wechat):
    answer = flatxml.read(wechat.post_xml(b"{}").content)

    assert answer["return_msg"] == "请求报文格式错误"


# the camera


def test_an_authinfo_ends_after_an_hour(wechat, http, clock):
    authinfo = issued(wechat)["authinfo"]
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
def test_an_authinfo_is_good_on_its_own_terminal_only(wechat, http, name):
    asked = {"authinfo": issued(wechat)["authinfo"], "person": "zhangsan"}

    answer = http.post(SCAN, json={**asked, name: "another"}).json()

    assert answer["return_msg"] == "AuthInfo License Error"


def test_an_authinfo_made_from_one_machines_rawdata_is_no_good_on_another(wechat, simulator):
    world = simulator.world
    here, there = (
        FaceSDK(
            SimulatedLibrary(
                "http://w",
                lambda: "zhangsan",
                machine=machine * 15,
                transport=httpx.WSGITransport(simulator),
            )
        )
        for machine in (b"a", b"b")
    )
    here.init()
    there.init()
    params = FaceParams(
        appid=world.appid,
        mch_id=world.mch_id,
        store_id=world.store_id,
        authinfo=issued(wechat, rawdata=here.rawdata(), store_id=world.store_id)["authinfo"],
    )

    with pytest.raises(CredentialExpired):
        there.code(params)

    assert here.code(params).face_sid


def test_nobody_in_front_of_the_camera_is_nobody(wechat, http):
    authinfo = issued(wechat)["authinfo"]

    answer = http.post(SCAN, json={"authinfo": authinfo, "person": "nobody"}).json()

    assert answer["return_code"] == "FACE_UNKNOWN"


def test_a_person_has_one_openid_and_many_face_sids(wechat, http):
    asked = {"authinfo": issued(wechat)["authinfo"], "person": "zhangsan"}

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


def test_only_the_latest_face_sids_are_counted(wechat, simulator, http, monkeypatch):
    monkeypatch.setattr("faceauth.simulator.app.COUNTED", 2)

    for number in range(3):
        http.get(f"/v3/facemch/users/face-sid-{number}")

    counted = {digest(f"face-sid-{number}"): 1 for number in (1, 2)}
    assert simulator.requests() == {
        "authinfo": 0,
        "users": 3,
        "certificates": 0,
        "face_sids": counted,
    }


def test_what_wechat_did_not_answer_itself_is_counted_for_each_face_sid(simulator, http):
    simulator.expect("down", times=2, endpoint="users")
    simulator.expect("slow", endpoint="users", seconds=0)

    for number in (1, 1, 1, 2):
        http.get(f"/v3/facemch/users/face-sid-{number}")

    assert http.get("/_sim/spoiled").json() == {digest("face-sid-1"): 2}


def test_nobody_is_asked_twice(simulator, http):
    face_sid = simulator.meet("decliner", authorized=False)

    codes = [
        http.post(AUTHORIZE, json={"face_sid": face_sid, "quit_face_auth": quits}).json()
        for quits in ("0", "0", "1")
    ]

    assert [code["return_code"] for code in codes] == ["USER_CANCEL", "ERROR", "ERROR"]


# who it was


@pytest.mark.parametrize("quits", ["0", "1"])
def test_without_a_yes_there_is_no_name(wechat, quits):
    face_sid = wechat.simulator.meet("decliner", authorized=False)
    wechat.http.post(AUTHORIZE, json={"face_sid": face_sid, "quit_face_auth": quits})

    answer = wechat.users(face_sid)

    assert (answer.status_code, answer.json()["code"]) == (403, "NO_AUTH")


def test_a_face_sid_lasts_ten_minutes(wechat):
    face_sid = wechat.simulator.meet("zhangsan")
    wechat.clock.now += 600

    still = wechat.simulator.camera.find(face_sid)
    wechat.clock.now += 1

    assert still is not None
    assert wechat.simulator.camera.find(face_sid) is None


def test_nobody_is_met_who_is_not_in_the_cast(simulator):
    with pytest.raises(UnknownPerson):
        simulator.meet("nobody")


def test_the_question_chooses_the_key_that_signs_the_answer(wechat):
    world = wechat.world
    face_sid = wechat.simulator.meet("zhangsan")

    by_default = wechat.users(face_sid)
    by_choice = wechat.users(face_sid, headers={"Wechatpay-Serial": world.wechat_public_key_id})

    assert by_default.headers["wechatpay-serial"] == world.platform_serial
    assert by_choice.headers["wechatpay-serial"] == world.wechat_public_key_id
    verify(by_default, world.platform_certificate)
    verify(by_choice, world.wechat_key)


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
    assert http.get("/v3/secrets").status_code == 404
    assert http.get("/_sim/secrets").status_code == 404
    assert http.post("/v3/certificates").status_code == 404


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
