import re
import traceback
from dataclasses import replace

import pytest

from devices.sdk import FaceParams, FaceSDK, Proxy, Window, errors

NOW = 1_540_901_425
PARAMS = FaceParams(
    appid="wx97debaxyzabcca2", mch_id="1281087510", store_id="IMG001", authinfo="authinfo-1"
)
MEMBER_PARAMS = replace(PARAMS, face_authtype="FACEID-ONCE")


class ScriptedLibrary:
    """Answers each command with the next of `answers`, and remembers what was asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    def call(self, request):
        self.requests.append(request)
        return self.answers.pop(0)


def ok(**fields):
    return {"return_code": "SUCCESS", "return_msg": "SUCCESS", **fields}


def sdk(*answers):
    library = ScriptedLibrary(*answers)
    return FaceSDK(library, clock=lambda: NOW + 0.9), library


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


def test_a_proxy_and_a_rotation_are_the_documented_json():
    camera, library = sdk(ok(), ok())
    proxy = Proxy(ip="10.123.10.11", port="8356", user="username", passwd="password", type=2)

    camera.init(proxy=proxy, camera_rotation=3)
    camera.init(proxy=Proxy(ip="10.123.10.11", port="8356"))

    way_out = {"ip": "10.123.10.11", "port": "8356"}
    login = {"user": "username", "passwd": "password"}
    common = {"cmd": "initWxpayface", "version": "1", "now": NOW}
    assert library.requests == [
        {**common, **way_out, **login, "proxy_type": 2, "camera_rotation": 3},
        {**common, **way_out},
    ]


def test_no_proxy_is_said_as_a_number():
    camera, library = sdk(ok())

    camera.init(proxy=Proxy(ip="10.0.0.1", port="1", type=0))

    assert library.requests[0]["proxy_type"] == 0


@pytest.mark.parametrize("wrong", [{"port": "http"}, {"port": "８３"}, {"type": 4}, {"type": "2"}])
def test_a_proxy_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Proxy(**{"ip": "10.0.0.1", "port": "8356", **wrong})


def test_where_wechats_screen_opens_is_said_in_strings():
    camera, library = sdk(ok(face_sid="sid-1"), ok(openid="openid-1"))
    window = Window(screen_index=2, no_focus=True, no_keyboard=True)

    camera.code(PARAMS, window=window)
    camera.user_info(MEMBER_PARAMS, ask_unionid=False, window=window)

    scan, look = library.requests
    assert (scan["screen_index"], scan["disable_keyboard"]) == ("2", "1")
    assert (look["screen_index"], look["use_window_nofocus"]) == ("2", "1")
    assert "use_window_nofocus" not in scan
    assert "disable_keyboard" not in look


def test_what_a_scan_may_be_told_besides_is_the_documented_json():
    camera, library = sdk(ok(face_sid="sid-1", telephone_used=1))

    sighting = camera.code(PARAMS, ask_token=True, openid="openid-1", telephone="13000000000")

    [request] = library.requests
    assert {name: request[name] for name in ("token", "openid", "telephone")} == {
        "token": "1",
        "openid": "openid-1",
        "telephone": "13000000000",
    }
    assert sighting.telephone_used


@pytest.mark.parametrize("face_authtype", ["FACEPAY", "FACEPAY_DELAY", "FACEID-ONCE", ""])
def test_no_other_mode_than_real_names_is_ever_called(face_authtype):
    camera, library = sdk()

    with pytest.raises(errors.ModeRefused):
        camera.code(replace(PARAMS, face_authtype=face_authtype))

    assert library.requests == []


@pytest.mark.parametrize("face_authtype", ["FACE_AUTH", "FACEID-LOOP", ""])
def test_no_other_mode_than_one_look_is_ever_called(face_authtype):
    camera, library = sdk()

    with pytest.raises(errors.ModeRefused):
        camera.user_info(replace(PARAMS, face_authtype=face_authtype), ask_unionid=True)

    assert library.requests == []


CALLS = {
    "init": (lambda sdk: sdk.init(), "1.12"),
    "proxy": (lambda sdk: sdk.init(proxy=Proxy(ip="10.0.0.1", port="1")), "1.12"),
    "proxy type": (lambda sdk: sdk.init(proxy=Proxy(ip="10.0.0.1", port="1", type=1)), "1.18"),
    "rotation": (lambda sdk: sdk.init(camera_rotation=1), "1.18"),
    "rawdata": (lambda sdk: sdk.rawdata(), "1.12"),
    "code": (lambda sdk: sdk.code(PARAMS), "1.12"),
    "token": (lambda sdk: sdk.code(PARAMS, ask_token=True), "1.16"),
    "second screen": (lambda sdk: sdk.code(PARAMS, window=Window(screen_index=2)), "1.18"),
    "no keyboard": (lambda sdk: sdk.code(PARAMS, window=Window(no_keyboard=True)), "1.23"),
    "openid": (lambda sdk: sdk.code(PARAMS, openid="openid-1"), "1.24"),
    "authorize": (lambda sdk: sdk.authorize("authinfo-1", "sid-1", quit=False), "1.20"),
    "quit": (lambda sdk: sdk.authorize("authinfo-1", "sid-1", quit=True), "1.20"),
    "user info": (lambda sdk: sdk.user_info(MEMBER_PARAMS, ask_unionid=True), "1.24"),
    "no focus": (
        lambda sdk: sdk.user_info(MEMBER_PARAMS, ask_unionid=True, window=Window(no_focus=True)),
        "1.26",
    ),
    "release": (lambda sdk: sdk.release(), "1.12"),
}
VERSIONS = ["1.9", "1.12", "1.12.7", "1.16", "1.18", "1.20", "1.23", "1.24", "1.26", "2.1"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("call", "since"), CALLS.values(), ids=CALLS)
def test_an_sdk_is_not_called_for_what_it_cannot_do(call, since, version):
    answer = ok(rawdata="cmF3", face_sid="sid-1", openid="openid-1")
    library = ScriptedLibrary(answer)
    camera = FaceSDK(library, version=version)
    is_too_old = tuple(map(int, version.split("."))) < tuple(map(int, since.split(".")))

    if is_too_old:
        with pytest.raises(errors.TooOld) as caught:
            call(camera)
        assert caught.value.needed == since
        assert since in str(caught.value)
    else:
        call(camera)

    assert len(library.requests) == (0 if is_too_old else 1)


@pytest.mark.parametrize("version", ["1", "1.x", "v1.26", "1.26 ", "１.２６"])
def test_what_is_no_version_is_not_compared(version):
    with pytest.raises(ValueError, match="version"):
        FaceSDK(ScriptedLibrary(), version=version)


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
        ({"return_code": "ERROR", "err_code": "271364112"}, errors.AppidUnbound),
        ({"return_code": "ERROR", "err_code": 271359488}, errors.ParametersWrong),
        ({"return_code": "ERROR", "return_msg": "授权失败"}, errors.AuthorizationFailed),
        (
            {"return_code": "PARAM_ERROR", "return_msg": "暂不支持此认证模式"},
            errors.ModeUnsupported,
        ),
        ({"return_code": "FAIL", "return_msg": "API NOT SUPPORT"}, errors.Outdated),
        ({"return_code": "ERROR", "return_msg": "SDK版本过低,请更新SDK"}, errors.Outdated),
        ({"return_code": "SCAN_PAYMENT"}, errors.ScanPreferred),
        ({"return_code": "FACEPAY_NOT_AUTH"}, errors.PermissionMissing),
        ({"return_code": "ERROR"}, errors.CallFailed),
        ({"return_code": "SYSTEMERROR"}, errors.SystemFault),
        ({"return_code": "FAIL"}, errors.ClientFault),
        ({"return_code": "USER_CANCEL", "err_code": "271300000"}, errors.Cancelled),
        ({"return_code": "SYSTEMERROR", "err_code": "271300000"}, errors.SDKFailed),
        ({"return_code": "SOMETHING_NEW"}, errors.SDKFailed),
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
    camera, _ = sdk({"return_code": "ERROR", "err_code": "271399999"})

    with pytest.raises(errors.SDKFailed) as caught:
        camera.init()

    assert caught.value.code == "271399999"


def test_every_fact_has_a_code_and_a_sentence_of_its_own():
    facts = [
        fact
        for fact in vars(errors).values()
        if isinstance(fact, type) and issubclass(fact, errors.SDKError)
    ]

    codes = [fact.code for fact in facts if fact is not errors.SDKFailed]
    assert len(set(codes)) == len(codes) > 20
    for fact in facts:
        assert re.search("[一-鿿]", fact.message)
        assert fact.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("field", ["return_code", "return_msg", "err_code"])
@pytest.mark.parametrize("leak", ["张三", "13800138000", "99010119900307001X"])
def test_what_wechat_writes_never_reaches_an_exception(field, leak):
    camera, _ = sdk({"return_code": "ERROR", field: leak})

    with pytest.raises(errors.SDKError) as caught:
        camera.init()

    assert leak not in "".join(traceback.format_exception(caught.value)) + str(caught.value.args)


def test_no_secret_shows_in_a_repr():
    camera, _ = sdk(ok(face_sid="sid-1", openid="openid-1", sub_openid="sub-1"))

    proxy = Proxy(ip="10.0.0.1", port="1", user="user", passwd="hunter2")
    shown = repr(camera.code(PARAMS)) + repr(PARAMS) + repr(proxy)

    secrets = ("sid-1", "openid-1", "sub-1", "authinfo-1", "hunter2")
    assert not any(secret in shown for secret in secrets)


def test_a_person_who_says_no_is_a_result():
    camera, _ = sdk({"return_code": "USER_CANCEL", "return_msg": "用户取消"})

    result = camera.authorize("authinfo-1", "sid-1", quit=False)

    assert result.return_code == "USER_CANCEL"


def test_rawdata_longer_than_documented_is_refused():
    camera, _ = sdk(ok(rawdata="A" * 2049))

    with pytest.raises(errors.Unreadable):
        camera.rawdata()
