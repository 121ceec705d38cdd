import base64
import ctypes
import json
import shutil
import subprocess
import traceback
from dataclasses import replace

import httpx
import pytest

from devices.sdk import FaceParams, FaceSDK, errors
from devices.sdk.binding import CLibrary
from devices.sdk.simulated import SimulatedLibrary

NOW = 1_540_901_425
PARAMS = FaceParams(
    appid="wx97debaxyzabcca2", mch_id="1281087510", store_id="IMG001", authinfo="authinfo-1"
)
TERMS = {"appid": "wx97debaxyzabcca2", "mch_id": "1281087510", "store_id": "IMG001"}
MEMBER_PARAMS = replace(PARAMS, face_authtype="FACEID-ONCE")

# A camera of the documented ABI. It overwrites an answer it gets back, so that reading one
# after its release shows, and counts the answers nobody gave back.
C_CAMERA = r"""
#include <stdlib.h>
#include <string.h>

static const char *ANSWER =
    "{\"return_code\":\"SUCCESS\",\"return_msg\":\"\xe6\x88\x90\xe5\x8a\x9f\",\"face_sid\":\"sid-1\"}";
char seen[65536];
int outstanding = 0;

int wxpayCallFaceService(const char *req, unsigned int size, char **resp, unsigned int *resp_size) {
    if (strlen(req) != size) return 2;
    strcpy(seen, req);
    if (strstr(req, "releaseWxpayface")) return 7;
    const char *answer = strstr(req, "initWxpayface") ? "[]" : ANSWER;
    *resp_size = strlen(answer);
    *resp = malloc(*resp_size);  /* no terminating zero: only the size says where it ends */
    memcpy(*resp, answer, *resp_size);
    outstanding++;
    return 0;
}

void wxpayReleaseResponse(char **resp) {
    memset(*resp, 'X', 2);
    free(*resp);
    *resp = NULL;
    outstanding--;
}
"""


class ScriptedLibrary:
    """Answers each command with the next of `answers`, and remembers what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def call(self, request):
        self.requests.append(request)
        return self.answers.pop(0)


class Room:
    """The simulator's camera endpoints, as an HTTP handler."""

    def __init__(self):
        self.posted = []

    def __call__(self, request):
        self.posted.append((request.url.path, json.loads(request.content)))
        answer = {"return_code": "SUCCESS", "return_msg": "SUCCESS"}
        if request.url.path == "/_sim/scan":
            answer |= {"face_sid": "sid-1", "openid": "openid-1"}
        if request.url.path == "/_sim/userinfo":
            answer |= {"openid": "openid-1", "nickname": "三三"}
        return httpx.Response(200, json=answer)


@pytest.fixture
def c_camera(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc): the ABI of the binding is not tested")
    source, library = tmp_path / "camera.c", tmp_path / "camera.so"
    source.write_text(C_CAMERA)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def ok(**fields):
    return {"return_code": "SUCCESS", "return_msg": "SUCCESS", **fields}


def sdk(*answers):
    library = ScriptedLibrary(*answers)
    return FaceSDK(library, clock=lambda: NOW + 0.9), library


def simulated(room, person="stranger-1"):
    transport = httpx.MockTransport(room)
    return FaceSDK(SimulatedLibrary("http://room", lambda: person, transport=transport))


def test_commands_are_the_documented_json():
    camera, library = sdk(ok(), ok(rawdata="cmF3"), ok(face_sid="sid-1"), ok(), ok(), ok())

    camera.init()
    camera.rawdata()
    camera.code(PARAMS)
    camera.authorize("authinfo-1", "sid-1", quit=False)
    camera.authorize("authinfo-1", "sid-1", quit=True)
    camera.release()

    common = {"version": "1", "now": NOW}
    asked = {"authinfo": "authinfo-1", "face_sid": "sid-1"}
    assert library.requests == [
        {"cmd": "initWxpayface", **common},
        {"cmd": "getWxpayfaceRawdata", **common},
        {
            "cmd": "getWxpayfaceCode",
            **common,
            "appid": "wx97debaxyzabcca2",
            "mch_id": "1281087510",
            "store_id": "IMG001",
            "face_authtype": "FACE_AUTH",
            "authinfo": "authinfo-1",
        },
        {"cmd": "getWxpayAuth", **common, **asked, "quit_face_auth": "0"},
        {"cmd": "getWxpayAuth", **common, **asked, "quit_face_auth": "1"},
        {"cmd": "releaseWxpayface", **common},
    ]


def test_a_sighting_carries_what_the_sdk_gave():
    camera, _ = sdk(ok(openid="openid-1", sub_openid="sub-1"))

    sighting = camera.code(PARAMS)

    assert (sighting.face_sid, sighting.openid, sighting.sub_openid) == ("", "openid-1", "sub-1")


@pytest.mark.parametrize(("ask", "said"), [(True, "1"), (False, "0")])
def test_a_members_command_is_the_documented_json(ask, said):
    camera, library = sdk(ok(openid="openid-1"))

    camera.user_info(MEMBER_PARAMS, ask_unionid=ask)

    assert library.requests == [
        {
            "cmd": "getWxpayfaceUserInfo",
            "version": "1",
            "now": NOW,
            "appid": "wx97debaxyzabcca2",
            "mch_id": "1281087510",
            "store_id": "IMG001",
            "face_authtype": "FACEID-ONCE",
            "authinfo": "authinfo-1",
            "ask_unionid": said,
        }
    ]


@pytest.mark.parametrize(
    ("answer", "token"),
    [
        ({"token": "token-1", "unionid_code": "SUCCESS"}, "token-1"),
        ({"token": "token-1", "unionid_code": "ERROR", "unionid_msg": "失败"}, ""),
        ({"token": "token-1"}, ""),
        ({"unionid_code": "SUCCESS"}, ""),
    ],
)
def test_a_token_counts_if_wechat_says_so(answer, token):
    camera, _ = sdk(ok(openid="openid-1", sub_openid="sub-1", **answer))

    member = camera.user_info(MEMBER_PARAMS, ask_unionid=True)

    assert (member.openid, member.sub_openid, member.token) == ("openid-1", "sub-1", token)


def test_a_token_nobody_asked_for_is_left():
    camera, _ = sdk(ok(openid="openid-1", token="token-1", unionid_code="SUCCESS"))

    assert camera.user_info(MEMBER_PARAMS, ask_unionid=False).token == ""


def test_a_nickname_goes_no_further():
    camera, _ = sdk(ok(openid="openid-1", nickname="三三"))

    member = camera.user_info(MEMBER_PARAMS, ask_unionid=True)

    assert "三三" not in str(vars(member))
    assert "openid-1" not in repr(member)


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ({"return_code": "USER_CANCEL"}, errors.Cancelled),
        ({"return_code": "ERROR", "err_code": 271382020}, errors.CredentialExpired),
        ({"return_code": "SUCCESS", "nickname": "三三"}, errors.Unreadable),
        ({"return_code": "SUCCESS", "openid": 7}, errors.Unreadable),
    ],
)
def test_nobody_recognised_is_a_fact(answer, fact):
    camera, _ = sdk(answer)

    with pytest.raises(fact) as caught:
        camera.user_info(MEMBER_PARAMS, ask_unionid=True)

    assert "三三" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        ({"return_code": "USER_CANCEL"}, errors.Cancelled),
        ({"return_code": "FACE_UNKNOWN"}, errors.FaceUnknown),
        ({"return_code": "PARAM_ERROR"}, errors.ParametersWrong),
        (
            {"return_code": "PARAM_ERROR", "return_msg": "AuthInfo License Error"},
            errors.CredentialExpired,
        ),
        ({"return_code": "ERROR", "err_code": 271382020}, errors.CredentialExpired),
        ({"return_code": "ERROR", "err_code": "271378433"}, errors.CredentialMissing),
        ({"return_code": "FAIL", "err_code": "271378620"}, errors.NotInitialised),
        ({"return_code": "FAIL", "err_code": "271378621"}, errors.Initialising),
        ({"return_code": "ERROR", "err_code": "271364105"}, errors.Outdated),
        (
            {"return_code": "SYSTEMERROR", "return_msg": "Unable to get device SN"},
            errors.SerialUnknown,
        ),
        ({"return_code": "ERROR", "return_msg": "ip address is null"}, errors.NetworkMissing),
        ({"return_code": "SYSTEMERROR"}, errors.SDKFailed),
        ({}, errors.Unreadable),
        ({"return_code": 0}, errors.Unreadable),
        ({"return_code": "SUCCESS"}, errors.Unreadable),
        ({"return_code": "SUCCESS", "face_sid": 7}, errors.Unreadable),
    ],
)
def test_an_answer_becomes_the_fact_it_states(answer, fact):
    camera, _ = sdk(answer)

    with pytest.raises(fact) as caught:
        camera.code(PARAMS)

    assert type(caught.value) is fact


def test_an_unknown_code_is_kept_as_a_code():
    camera, _ = sdk({"return_code": "ERROR", "err_code": "271364112"})

    with pytest.raises(errors.SDKFailed) as caught:
        camera.init()

    assert caught.value.code == "271364112"


@pytest.mark.parametrize("field", ["return_code", "return_msg", "err_code"])
@pytest.mark.parametrize("leak", ["张三", "13800138000", "99010119900307001X"])
def test_what_wechat_writes_never_reaches_an_exception(field, leak):
    camera, _ = sdk({"return_code": "ERROR", field: leak})

    with pytest.raises(errors.SDKError) as caught:
        camera.init()

    assert leak not in "".join(traceback.format_exception(caught.value)) + str(caught.value.args)


def test_no_secret_shows_in_a_repr():
    camera, _ = sdk(ok(face_sid="sid-1", openid="openid-1", sub_openid="sub-1"))

    shown = repr(camera.code(PARAMS)) + repr(PARAMS)

    assert not any(secret in shown for secret in ("sid-1", "openid-1", "sub-1", "authinfo-1"))


def test_a_person_who_says_no_is_a_result():
    camera, _ = sdk({"return_code": "USER_CANCEL", "return_msg": "用户取消"})

    result = camera.authorize("authinfo-1", "sid-1", quit=False)

    assert result.return_code == "USER_CANCEL"


def test_rawdata_longer_than_documented_is_refused():
    camera, _ = sdk(ok(rawdata="A" * 2049))

    with pytest.raises(errors.Unreadable):
        camera.rawdata()


def test_the_c_library_is_called_and_its_memory_given_back(c_camera):
    library = CLibrary(c_camera)
    double = ctypes.CDLL(str(c_camera))

    answer = library.call({"cmd": "getWxpayfaceCode", "store_id": "门诊一楼"})

    seen = ctypes.c_char.in_dll(double, "seen")
    assert ctypes.string_at(ctypes.addressof(seen)).decode() == (
        '{"cmd":"getWxpayfaceCode","store_id":"门诊一楼"}'
    )
    assert answer == {"return_code": "SUCCESS", "return_msg": "成功", "face_sid": "sid-1"}
    assert ctypes.c_int.in_dll(double, "outstanding").value == 0


def test_an_unreadable_answer_is_given_back_too(c_camera):
    library = CLibrary(c_camera)

    with pytest.raises(errors.Unreadable):
        library.call({"cmd": "initWxpayface"})

    double = ctypes.CDLL(str(c_camera))
    assert ctypes.c_int.in_dll(double, "outstanding").value == 0


def test_a_failed_call_is_not_released(c_camera):
    library = CLibrary(c_camera)

    with pytest.raises(errors.NotRunning):
        library.call({"cmd": "releaseWxpayface"})

    double = ctypes.CDLL(str(c_camera))
    assert ctypes.c_int.in_dll(double, "outstanding").value == 0


def test_a_file_that_is_no_library_is_not_loadable(tmp_path):
    path = tmp_path / "WxpayFaceSDK.dll"
    path.write_bytes(b"MZ")

    with pytest.raises(errors.NotLoadable):
        CLibrary(path)


def test_a_library_without_the_two_symbols_is_not_loadable():
    with pytest.raises(errors.NotLoadable):
        CLibrary("libc.so.6")


def test_the_simulated_camera_wants_init_first():
    camera = simulated(Room())

    with pytest.raises(errors.NotInitialised):
        camera.rawdata()


def test_the_simulated_camera_makes_rawdata_of_a_real_length():
    camera = simulated(Room())
    camera.init()

    rawdata = camera.rawdata()

    assert len(base64.b64decode(rawdata, validate=True)) == 616


def test_the_simulated_camera_sees_who_stands_there():
    room = Room()
    camera = simulated(room, person="stranger-7")
    camera.init()

    sighting = camera.code(PARAMS)
    camera.authorize("authinfo-1", sighting.face_sid, quit=False)

    assert room.posted == [
        ("/_sim/scan", {"authinfo": "authinfo-1", "person": "stranger-7", **TERMS}),
        (
            "/_sim/authorize",
            {"face_sid": "sid-1", "authinfo": "authinfo-1", "quit_face_auth": "0"},
        ),
    ]


def test_the_simulated_screen_stays_open_until_it_is_answered():
    camera = simulated(Room())
    camera.init()
    camera.code(PARAMS)

    with pytest.raises(errors.SDKFailed):
        camera.code(PARAMS)

    camera.authorize("authinfo-1", "sid-1", quit=True)
    assert camera.code(PARAMS).face_sid == "sid-1"


def test_the_simulated_camera_recognises_who_stands_there():
    room = Room()
    camera = simulated(room, person="stranger-7")
    camera.init()

    camera.user_info(MEMBER_PARAMS, ask_unionid=True)
    camera.user_info(MEMBER_PARAMS, ask_unionid=False)  # nothing was left open

    asked = {"authinfo": "authinfo-1", "person": "stranger-7", **TERMS}
    assert room.posted == [
        ("/_sim/userinfo", {**asked, "ask_unionid": "1"}),
        ("/_sim/userinfo", {**asked, "ask_unionid": "0"}),
    ]


def test_the_simulated_camera_does_one_thing_at_a_time():
    camera = simulated(Room())
    camera.init()
    camera.code(PARAMS)

    with pytest.raises(errors.SDKFailed):
        camera.user_info(MEMBER_PARAMS, ask_unionid=True)


@pytest.mark.parametrize("face_authtype", ["FACE_AUTH", "FACEID-LOOP", ""])
def test_the_simulated_camera_takes_each_command_in_its_own_mode(face_authtype):
    camera = simulated(Room())
    camera.init()

    with pytest.raises(errors.ParametersWrong):
        camera.user_info(replace(PARAMS, face_authtype=face_authtype), ask_unionid=True)
    with pytest.raises(errors.ParametersWrong):
        camera.code(MEMBER_PARAMS)


@pytest.mark.parametrize("wrong", [{"ask_unionid": 1}, {"ask_unionid": "yes"}, {"appid": 7}])
def test_the_simulated_camera_wants_strings(wrong):
    library = SimulatedLibrary("http://room", lambda: "x", transport=httpx.MockTransport(Room()))
    common = {"version": "1", "now": NOW}
    library.call({"cmd": "initWxpayface", **common})

    answer = library.call({"cmd": "getWxpayfaceUserInfo", **common, **vars(MEMBER_PARAMS), **wrong})

    assert answer["return_code"] == "PARAM_ERROR"


def test_a_released_simulated_camera_wants_init_again():
    camera = simulated(Room())
    camera.init()
    camera.release()

    with pytest.raises(errors.NotInitialised):
        camera.code(PARAMS)


@pytest.mark.parametrize(
    "request_", [{"version": 1, "now": NOW}, {"version": "1", "now": 7}, {"version": "1"}]
)
def test_the_simulated_camera_judges_the_common_fields(request_):
    library = SimulatedLibrary("http://room", lambda: "x", transport=httpx.MockTransport(Room()))

    answer = library.call({"cmd": "initWxpayface", **request_})

    assert answer["return_code"] == "PARAM_ERROR"


def test_an_absent_simulator_is_a_service_that_does_not_run():
    def gone(request):
        raise httpx.ConnectError("refused", request=request)

    camera = simulated(gone)
    camera.init()

    with pytest.raises(errors.NotRunning):
        camera.code(PARAMS)


@pytest.mark.parametrize(
    ("response", "fact"),
    [
        (httpx.Response(500), errors.NotRunning),
        (httpx.Response(200, text="<html>"), errors.Unreadable),
        (httpx.Response(200, json=[]), errors.Unreadable),
    ],
)
def test_a_stranger_to_the_protocol_is_not_believed(response, fact):
    camera = simulated(lambda _request: response)
    camera.init()

    with pytest.raises(fact):
        camera.code(PARAMS)
