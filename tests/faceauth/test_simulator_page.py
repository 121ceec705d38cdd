import json
import re
from importlib import resources

import httpx
import pytest

from faceauth.simulator import people
from faceauth.simulator.journal import KEPT
from faceauth.simulator.scenarios import SCENARIOS
from tests.faceauth.asking import NONCE, NOW, RAWDATA, Asking, authorization, xml

FILES = resources.files("faceauth.simulator") / "page"
JSON = {"Content-Type": "application/json"}
DOWN = json.dumps({"name": "down", "times": 0})
NOBODY = "bbaf113f-4171-4332-9c79-dace6d35a917"


@pytest.fixture
def wechat():
    return Asking()


def journal(wechat, after=""):
    return wechat.http.get("/_sim/journal", params={"after": after}).json()


def last(wechat):
    return journal(wechat)["entries"][-1]


def state(wechat):
    return wechat.http.get("/_sim/state").json()


def licensed(wechat, device_id):
    """An authinfo, as the terminal of that name was given one."""
    answer = wechat.authinfo(device_id=device_id).text
    return re.search(r"<authinfo><!\[CDATA\[(.+?)\]\]>", answer)[1]


# the journal


def test_an_answered_question_is_told_of(wechat):
    face_sid = wechat.simulator.meet("zhangsan", device_id="T-1")

    answer = wechat.users(face_sid)

    entry = last(wechat)
    assert entry["endpoint"] == "users"
    assert entry["method"] == "GET"
    assert entry["target"].startswith(f"/v3/facemch/users/{face_sid}?info_type=ASK_REAL_NAME")
    assert entry["status"] == 200
    assert entry["at"] == NOW
    assert entry["milliseconds"] >= 0
    assert entry["device"] == "T-1"
    assert entry["verdict"] == "通过"
    assert entry["request_id"] == answer.headers["request-id"]


def test_a_refused_signature_shows_what_should_have_been_signed(wechat):
    query = f"/v3/facemch/users/{NOBODY}?info_type=ASK_REAL_NAME&appid={wechat.world.appid}"

    wechat.users(NOBODY, spoil=lambda message: message.replace(query, query.partition("?")[0]))

    entry = last(wechat)
    assert entry["to_sign"] == ["GET\n", f"{query}\n", f"{NOW}\n", f"{NONCE}\n", "\n"]
    assert "查询参数没有参加签名，只签了路径" in entry["verdict"]


@pytest.mark.parametrize(
    ("headers", "timestamp"),
    [
        ({}, "（timestamp）\n"),
        ({"Authorization": "Bearer 5K8264ILTKCH16CQ2502SI8Z"}, "（timestamp）\n"),
        ({"Authorization": 'WECHATPAY2-SHA256-RSA2048 timestamp="1"'}, "1\n"),
    ],
)
def test_what_should_be_signed_shows_before_anything_was(wechat, headers, timestamp):
    wechat.http.get("/v3/certificates", headers=headers)

    lines = ["GET\n", "/v3/certificates\n", timestamp, "（nonce_str）\n", "\n"]
    assert last(wechat)["to_sign"] == lines


def test_only_the_beginning_of_a_signature_is_kept(wechat):
    header = authorization("/v3/certificates", wechat.world.direct)
    signature = re.search('signature="(.+?)"', header)[1]

    wechat.certificates()
    wechat.http.get("/v3/certificates", headers={"Authorization": f"Basic {'s' * 60}"})

    signed, unsigned = journal(wechat)["entries"]
    assert signed["received"]["scheme"] == "WECHATPAY2-SHA256-RSA2048"
    assert signed["received"]["serial_no"] == wechat.world.merchant_serial
    assert signed["received"]["signature"].startswith(signature[:12])
    assert signature[:13] not in json.dumps(journal(wechat))
    assert unsigned["received"] == {"scheme": "Basic"}


def test_a_refused_v2_signature_shows_the_string_field_by_field_without_the_key(wechat):
    wechat.authinfo(key="k" * 32, rawdata=RAWDATA * 10)

    entry = last(wechat)
    assert entry["device"] == "T-1"
    assert entry["to_sign"][0] == f"appid={wechat.world.appid}&"
    assert entry["to_sign"][-1] == "key=（APIv2 密钥）"
    assert f"rawdata={RAWDATA}" in "".join(entry["to_sign"])
    assert RAWDATA * 10 not in "".join(entry["to_sign"])
    assert entry["received"]["sign_type"] == "HMAC-SHA256"
    assert wechat.world.apiv2_key not in json.dumps(journal(wechat))


def test_a_scenario_is_named_where_it_played(wechat):
    wechat.simulator.expect("forged")

    wechat.authinfo()

    assert last(wechat)["verdict"].startswith("场景「伪造签名」")


def test_what_the_terminal_does_is_told_between_the_requests(wechat):
    authinfo = licensed(wechat, "T-7")
    scan = {"authinfo": authinfo, "person": "decliner"}
    face_sid = wechat.http.post("/_sim/scan", json=scan).json()["face_sid"]
    wechat.http.post("/_sim/authorize", json={"face_sid": face_sid})
    wechat.http.post("/_sim/scan", json={"authinfo": "none"})

    told = [(one["endpoint"], one["device"], one["verdict"]) for one in journal(wechat)["entries"]]

    assert told == [
        ("authinfo", "T-7", "通过"),
        ("scan", "T-7", "通过"),
        ("authorize", "T-7", "USER_CANCEL：用户取消授权"),
        ("scan", "", "PARAM_ERROR：AuthInfo License Error"),
    ]


def test_the_page_itself_leaves_no_entry(wechat):
    for path in ("/", "/_sim/state", "/_sim/people", "/_sim/page/main.js", "/_sim/nowhere"):
        wechat.http.get(path)
    wechat.http.post("/_sim/scenario", json={"name": "down"})

    assert journal(wechat)["entries"] == []


def test_a_reader_gets_what_is_new_to_it(wechat):
    wechat.http.get("/first")
    known = journal(wechat)["seq"]
    wechat.http.get("/second")

    answer = journal(wechat, after=known)

    assert [entry["target"] for entry in answer["entries"]] == ["/second"]
    assert answer["seq"] == known + 1


@pytest.mark.parametrize("after", ["", "-1", "many", "１", "9" * 40])
def test_a_reader_that_knows_nothing_gets_everything(wechat, after):
    wechat.http.get("/first")

    assert len(journal(wechat, after=after)["entries"]) == 1


def test_two_runs_are_told_apart(wechat):
    assert journal(wechat)["run"] == journal(wechat)["run"] != journal(Asking())["run"]


def test_only_the_last_requests_are_kept(wechat):
    for number in range(KEPT + 5):
        wechat.http.get(f"/{number}")

    entries = journal(wechat)["entries"]

    assert len(entries) == KEPT
    assert entries[0]["target"] == "/5"


def test_nothing_long_is_kept_whole(wechat):
    items = "".join(
        f'{letter}{other}="{"1" * 999}",' for letter in "abcde" for other in "abcdefghij"
    )
    header = {"Authorization": f"{'S' * 9_000} {items}"}

    wechat.http.get(f"/v3/facemch/users/{'f' * 9_000}", headers=header)
    wechat.http.request("GET", "/v3/certificates", content="b\n" * 9_000)
    wechat.post_xml(xml({f"field{number}": "1" * 999 for number in range(60)}).encode())

    for entry in journal(wechat)["entries"]:
        assert len(json.dumps(entry)) < 20_000


# the state


def test_the_state_says_who_is_here_and_what_can_happen(wechat):
    wechat.authinfo(device_id="T-2")
    wechat.authinfo(device_id="T-1")
    wechat.certificates()
    wechat.simulator.expect("forged", times=0, endpoint="users", device_id="T-2")

    said = state(wechat)

    assert [person["id"] for person in said["people"]] == list(people.CAST)
    assert [scenario["name"] for scenario in said["scenarios"]] == list(SCENARIOS)
    assert all(one["label"] and one["explains"] and one["endpoints"] for one in said["scenarios"])
    assert [(one["name"], one["device_id"], one["left"]) for one in said["active"]] == [
        ("forged", "T-2", None)
    ]
    assert said["devices"] == ["T-1", "T-2"]
    assert said["counts"] == {"authinfo": 2, "users": 0, "certificates": 1}


def test_the_state_names_the_merchants_and_tells_no_secret(wechat):
    world = wechat.world
    secrets = [world.apiv2_key, world.apiv3_key, world.authinfo_key, "PRIVATE KEY"]
    secrets += [person.document_number for person in people.CAST.values()]
    secrets += [world.partner.apiv2_key, world.partner.apiv3_key]

    said = state(wechat)

    assert said["merchant"]["mch_id"] == world.mch_id
    assert said["merchant"]["partner"]["mch_id"] == world.partner.mch_id
    assert said["merchant"]["partner"]["hospitals"] == [
        hospital.sub_mch_id for hospital in world.partner.hospitals
    ]
    assert [secret for secret in secrets if secret in json.dumps(said)] == []


# who may press the buttons


def test_the_page_may_begin_and_end_a_scenario(wechat):
    own = {**JSON, "Origin": "http://w"}

    begun = wechat.http.post("/_sim/scenario", content=DOWN, headers=own)
    active = state(wechat)["active"]
    ended = wechat.http.request("DELETE", "/_sim/scenario", content=DOWN, headers=own)

    assert (begun.status_code, ended.status_code) == (200, 200)
    assert [spell["name"] for spell in active] == ["down"]
    assert state(wechat)["active"] == []


@pytest.mark.parametrize("path", ["/_sim/scenario", "/_sim/scan", "/_sim/authorize"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {**JSON, "Origin": "http://elsewhere"},
        {**JSON, "Origin": "http://w:8001"},
        {**JSON, "Origin": "null"},
        {**JSON, "Origin": "http://["},
    ],
)
def test_another_site_may_press_nothing(wechat, path, headers):
    answer = wechat.http.post(path, content=DOWN, headers=headers)

    assert answer.status_code == 403
    assert state(wechat)["active"] == []


def test_another_site_may_end_nothing(wechat):
    wechat.simulator.expect("down")

    answer = wechat.http.delete("/_sim/scenario", headers={"Origin": "http://elsewhere"})

    assert answer.status_code == 403
    assert len(state(wechat)["active"]) == 1


# the files


def test_every_file_the_page_names_is_there(wechat):
    named = {"/"}
    for file in FILES.iterdir():
        text = file.read_text()
        named |= set(re.findall(r'"(/_sim/page/[^"]+)"', text))
        named |= {f"/_sim/page/{name}" for name in re.findall(r'from "\./([^"]+)"', text)}

    kinds = {path: wechat.http.get(path).headers["content-type"] for path in named}

    assert len(named) == len(list(FILES.iterdir()))
    assert kinds["/"] == "text/html; charset=utf-8"
    assert kinds["/_sim/page/main.js"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/_sim/page/page.css", "/_sim/state", "/_sim/journal"])
def test_no_browser_keeps_frames_or_guesses_at_the_page(wechat, path):
    headers = wechat.http.get(path).headers

    assert headers["content-security-policy"] == "default-src 'self'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "name",
    ["", "index.html", "none.js", "../page.py", "%2e%2e/page.py", "..%5Cpage.py", "main.js%0A"],
)
def test_no_other_file_can_be_read(wechat, name):
    url = httpx.URL("http://w/").copy_with(raw_path=f"/_sim/page/{name}".encode())

    assert wechat.http.get(url).status_code == 404


def test_the_page_makes_markup_of_nothing_it_is_told():
    scripts = [file.read_text() for file in FILES.iterdir() if file.name.endswith(".js")]
    makers = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval")

    assert [word for word in makers if any(word in script for script in scripts)] == []
    assert "<style" not in (FILES / "index.html").read_text()
    assert not re.search(r"\son[a-z]+=|style=", (FILES / "index.html").read_text())
