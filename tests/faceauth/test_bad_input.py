"""Whatever a broken or hostile terminal sends: a clear problem, and WeChat is not called."""

from uuid import UUID

import pytest

from faceauth.models import FaceSession
from hospital.audit.models import Event
from tests import minutes

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def open_session(kiosk, notice, merchant):
    return kiosk.agree()


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'"x"', b"\xff\xfe", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 5000],
    ids=["torn", "list", "string", "not-utf8", "twice", "nan", "deep"],
)
def test_what_is_no_json_object_is_malformed(kiosk, body):
    answer = kiosk.http.post("/api/v1/authinfo/", content=body, headers=JSON)

    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed"
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_over_64_kib_is_too_large(kiosk):
    answer = kiosk.http.post("/api/v1/authinfo/", content=b" " * 65_537, headers=JSON)

    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


def test_a_form_is_not_json(kiosk):
    answer = kiosk.http.post("/api/v1/authinfo/", data={"rawdata": "x"})

    assert answer.status_code == 415


def test_an_unknown_field_is_an_error(kiosk, merchant, simulator):
    answer = kiosk.post("authinfo/", {"rawdata": "AAAA", "raw_data": "AAAA"})

    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "raw_data", "code": "unknown_field", "detail": "没有这个字段"}
    ]
    assert simulator.requests()["authinfo"] == 0


def test_an_error_never_repeats_what_was_sent(kiosk, open_session):
    answer = kiosk.post(
        f"face-sessions/{open_session}/sighting/",
        {"张三": "1", "openid": "张三丰", "face_sid": "李四"},
    )

    assert answer.status_code == 422
    assert "张三" not in answer.text
    assert "李四" not in answer.text


@pytest.mark.parametrize(
    "face_sid",
    [
        "../../v3/refund",
        "%2e%2e%2f",
        "abcdefgh?x=1",
        "abcdefgh\r\nHost: x",
        "abcdefgh\n",
        "a" * 10_240,
        "ａｂｃｄｅｆｇｈ",
        "１２３４５６７８",
        "short",
        "",
        " abcdefgh ",
        None,
        7,
        ["abcdefgh"],
        {"a": 1},
        "abcd\u0000efgh",
    ],
)
def test_a_face_sid_of_the_wrong_shape_goes_nowhere(kiosk, open_session, simulator, face_sid):
    answer = kiosk.post(f"face-sessions/{open_session}/sighting/", {"face_sid": face_sid})

    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid"
    assert FaceSession.objects.get(pk=open_session).state == "opened"
    assert simulator.requests()["users"] == 0


@pytest.mark.parametrize("rawdata", ["", "a b", "x" * 2049, "数据", "ab=c", None, 1])
def test_rawdata_of_the_wrong_shape_is_not_sent(kiosk, merchant, worker, rawdata):
    answer = kiosk.post("authinfo/", {"rawdata": rawdata})

    assert answer.status_code == 422
    assert worker.heard == []


@pytest.mark.parametrize("path", ["face-sessions/not-a-uuid/", "nothing/", "face-sessions"])
def test_a_path_that_does_not_exist_is_a_problem_too(kiosk, path):
    answer = kiosk.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


def test_a_wrong_method_is_a_problem_too(kiosk):
    answer = kiosk.http.put("/api/v1/authinfo/", json={})

    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("sent", ["zhang san; drop", "11010119900307002X", "terminal-0001"])
def test_a_request_id_is_ours_whatever_was_sent(kiosk, notice, sent):
    answer = kiosk.http.get("/api/v1/notice/", headers={"X-Request-Id": sent})

    assert UUID(answer.headers["X-Request-Id"])


def test_what_a_terminal_gets_is_not_to_be_stored(kiosk, notice):
    assert kiosk.get("notice/").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("granted", ["true", "yes", "on", 1, "t", None])
def test_only_true_is_a_consent(kiosk, notice, merchant, granted):
    body = {"notice_version": 3, "granted": granted, "purposes": ["onboarding"]}

    assert kiosk.post("face-sessions/", body).status_code == 422
    assert not FaceSession.objects.exists()


def test_a_bug_is_a_problem_without_details(kiosk, notice, monkeypatch):
    def broken(**_kwargs):
        raise RuntimeError("张三")

    monkeypatch.setattr("faceauth.consent.notice_in_force", broken)
    kiosk.http._transport.raise_app_exceptions = False

    answer = kiosk.get("notice/")

    assert answer.status_code == 500
    assert answer.json()["code"] == "error"
    assert "张三" not in answer.text


def test_a_terminal_that_asks_too_often_is_told_when_to_come_back(kiosk, notice, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr("devices.throttling.TerminalThrottle.THROTTLE_RATES", {"terminal": "3/min"})
    for _ in range(3):
        assert kiosk.get("notice/").status_code == 200

    answer = kiosk.get("notice/")

    assert answer.status_code == 429
    assert answer.json()["code"] == "throttled"
    assert 0 < int(answer.headers["Retry-After"]) <= 60


def test_one_terminals_limit_is_not_anothers(install, notice, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr("devices.throttling.TerminalThrottle.THROTTLE_RATES", {"terminal": "1/min"})
    busy, quiet = install("T-1"), install("T-2")
    busy.get("notice/")
    assert busy.get("notice/").status_code == 429

    answer = quiet.get("notice/")

    assert answer.status_code == 200


def test_a_flood_of_forgeries_does_not_fill_the_trail(kiosk, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr("hospital.audit.flood.RECORDED", 5)
    for _ in range(9):
        kiosk.http.get("/api/v1/notice/", auth=lambda request: request)

    assert Event.objects.filter(action="terminal.denied").count() == 5
