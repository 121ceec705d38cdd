import base64
import ctypes
import json
import os
import shutil
import subprocess
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import pytest

from devices.sdk import AuthResult, FaceParams, FaceSDK, Proxy, Window, errors
from devices.sdk.binding import CLibrary
from devices.sdk.simulated import SimulatedLibrary

SOURCE = Path(__file__).with_name("camera.c")
NOW = 1_540_901_425
COMMON = {"version": "1", "now": NOW}
TERMS = {"appid": "wx97debaxyzabcca2", "mch_id": "1281087510", "store_id": "IMG001"}
BOUND = "bound|SN-1|wx97debaxyzabcca2|1281087510|IMG001"  # what camera.c takes for an authinfo
PARAMS = FaceParams(authinfo=BOUND, **TERMS)
MEMBER_PARAMS = replace(PARAMS, face_authtype="FACEID-ONCE")
MEGABYTE = 1024 * 1024
CALLS = 10_000


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


class Double:
    """`camera.c`, loaded afresh: the library, and its own variables."""

    def __init__(self, path):
        self.library = CLibrary(path)
        self._loaded = ctypes.CDLL(str(path))

    def __getattr__(self, name):
        kind = ctypes.c_int if name in ("camera_is_on", "screen_is_open") else ctypes.c_long
        return kind.in_dll(self._loaded, name).value

    @property
    def seen(self):
        return self._text("seen").decode()

    def will_start_after(self, attempts):
        ctypes.c_int.in_dll(self._loaded, "starting").value = attempts

    def goes_down(self):
        ctypes.c_int.in_dll(self._loaded, "is_down").value = 1

    def answers(self, text):
        self._buffer("instead").value = text.encode()

    def _text(self, name):
        return self._buffer(name).value

    def _buffer(self, name):
        return (ctypes.c_char * 8192).in_dll(self._loaded, name)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc or gcc): the ABI of the binding is not tested")
    path = tmp_path_factory.mktemp("sdk") / "camera.so"
    strict = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *strict, "-o", path, SOURCE], check=True)
    return path


@pytest.fixture
def double(compiled, tmp_path):
    # A copy for each test: the loader gives the same library for the same file.
    return Double(shutil.copy(compiled, tmp_path / "camera.so"))


@pytest.fixture(params=["c", "simulated"])
def library(request):
    if request.param == "c":
        return request.getfixturevalue("double").library
    return simulated_library(Room())


def simulated_library(room, person="stranger-1", **options):
    transport = httpx.MockTransport(room)
    box = {"machine": b"a" * 15, "transport": transport}
    return SimulatedLibrary("http://room", lambda: person, **box, **options)


def simulated(room, person="stranger-1", **options):
    return FaceSDK(simulated_library(room, person, **options))


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# The ABI


def test_the_c_library_is_called_and_its_memory_given_back(double):
    answer = double.library.call({"cmd": "initWxpayface", **COMMON, "store_id": "门诊一楼"})

    assert double.seen == (
        '{"cmd":"initWxpayface","version":"1","now":1540901425,"store_id":"门诊一楼"}'
    )
    assert answer == {"return_code": "SUCCESS", "return_msg": "成功"}
    assert (double.allocated, double.given_back, double.outstanding_bytes) == (1, 1, 0)


@pytest.mark.parametrize("answer", ["[]", "{", '"SUCCESS"', '{"a":'])
def test_an_unreadable_answer_is_given_back_too(double, answer):
    double.answers(answer)

    with pytest.raises(errors.Unreadable):
        double.library.call({"cmd": "initWxpayface", **COMMON})

    assert (double.allocated, double.given_back, double.outstanding_bytes) == (1, 1, 0)


def test_a_failed_call_is_not_released(double):
    double.goes_down()

    with pytest.raises(errors.NotRunning):
        double.library.call({"cmd": "initWxpayface", **COMMON})

    assert (double.allocated, double.given_back, double.misreleased) == (0, 0, 0)


def test_all_commands_reach_the_c_library(double):
    camera = FaceSDK(double.library, version="1.26")

    camera.init(proxy=Proxy(ip="10.0.0.1", port="8356", type=1), camera_rotation=2)
    assert '"proxy_type":1,"camera_rotation":2' in double.seen
    assert len(camera.rawdata()) == 2048
    sighting = camera.code(PARAMS, window=Window(screen_index=2))
    assert sighting.face_sid == "sid-1"
    assert double.screen_is_open
    assert camera.authorize(BOUND, "sid-1", quit=True).return_code == "SUCCESS"
    assert not double.screen_is_open
    assert camera.user_info(MEMBER_PARAMS, ask_unionid=True).token == "token-1"
    camera.release()
    assert not double.camera_is_on

    assert double.allocated == double.given_back == 6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc: memory not measured")
def test_ten_thousand_calls_leave_nothing_behind(double):
    camera = FaceSDK(double.library)
    camera.init()
    for _ in range(1000):  # until the allocators have what they want
        camera.rawdata()
    before = resident_bytes()

    for _ in range(CALLS):
        camera.rawdata()

    assert double.allocated == double.given_back == 1 + 1000 + CALLS
    assert (double.outstanding_bytes, double.misreleased) == (0, 0)
    assert resident_bytes() - before < 2 * MEGABYTE  # kept answers would be 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc: memory not measured")
def test_ten_thousand_failures_leave_nothing_behind(double):
    before, seen = 0, Counter()

    for turn in range(CALLS + 1000):
        if turn == 1000:
            before = resident_bytes()
        double.answers('{"return_code":"ERROR","return_msg":"' + "x" * 2000 + '"}')
        try:
            FaceSDK(double.library).init()
        except errors.CallFailed:
            seen["failed"] += 1

    assert seen["failed"] == double.allocated == double.given_back == CALLS + 1000
    assert resident_bytes() - before < 2 * MEGABYTE


# The order, kept by both


def test_init_comes_first(library):
    camera = FaceSDK(library)

    for call in (camera.rawdata, camera.release, lambda: camera.code(PARAMS)):
        with pytest.raises(errors.NotInitialised):
            call()


def test_the_screen_stays_open_until_it_is_answered(library):
    camera = FaceSDK(library)
    camera.init()
    camera.code(PARAMS)

    with pytest.raises(errors.CallFailed):
        camera.code(PARAMS)
    with pytest.raises(errors.CallFailed):
        camera.user_info(MEMBER_PARAMS, ask_unionid=True)

    camera.authorize(BOUND, "sid-1", quit=True)
    assert camera.code(PARAMS).face_sid == "sid-1"


def test_nobody_is_asked_for_a_name_before_a_face_was_seen(library):
    camera = FaceSDK(library)
    camera.init()

    result = camera.authorize(BOUND, "sid-1", quit=False)

    assert result == AuthResult("ERROR", "授权失败")


@pytest.mark.parametrize(("authinfo", "face_sid"), [("another", "sid-1"), (BOUND, "another")])
def test_only_what_was_seen_is_authorized(library, authinfo, face_sid):
    camera = FaceSDK(library)
    camera.init()
    camera.code(PARAMS)

    wrong = camera.authorize(authinfo, face_sid, quit=False)
    right = camera.authorize(BOUND, "sid-1", quit=False)

    assert (wrong.return_code, right.return_code) == ("PARAM_ERROR", "SUCCESS")


@pytest.mark.parametrize("value", [0, 1, "", "2", True, None])
def test_quitting_is_said_in_strings(library, value):
    camera = FaceSDK(library)
    camera.init()
    camera.code(PARAMS)
    asked = {"cmd": "getWxpayAuth", **COMMON, "authinfo": BOUND, "face_sid": "sid-1"}

    answer = library.call({**asked, "quit_face_auth": value})

    assert answer["return_code"] == "PARAM_ERROR"


def test_a_released_camera_wants_init_again_and_has_closed_its_screen(library):
    camera = FaceSDK(library)
    camera.init()
    camera.code(PARAMS)
    camera.release()

    with pytest.raises(errors.NotInitialised):
        camera.code(PARAMS)

    camera.init()
    assert camera.code(PARAMS).face_sid == "sid-1"


def test_an_authinfo_is_wanted(library):
    camera = FaceSDK(library)
    camera.init()

    with pytest.raises(errors.CredentialMissing):
        camera.code(replace(PARAMS, authinfo=""))


@pytest.mark.parametrize(
    ("cmd", "face_authtype"),
    [
        ("getWxpayfaceCode", "FACEPAY"),
        ("getWxpayfaceCode", "FACEID-ONCE"),
        ("getWxpayfaceUserInfo", "FACE_AUTH"),
        ("getWxpayfaceUserInfo", "FACEID-LOOP"),
    ],
)
def test_each_command_has_its_own_mode(library, cmd, face_authtype):
    FaceSDK(library).init()
    params = {name: value for name, value in asdict(PARAMS).items() if value}

    answer = library.call({"cmd": cmd, **COMMON, **params, "face_authtype": face_authtype})

    with pytest.raises(errors.ModeUnsupported):
        errors.check(answer)


@pytest.mark.parametrize(
    "request_", [{"version": 1, "now": NOW}, {"version": "1", "now": 7}, {"version": "1"}]
)
def test_the_common_fields_are_judged(library, request_):
    answer = library.call({"cmd": "initWxpayface", **request_})

    assert answer["return_code"] == "PARAM_ERROR"


def test_a_command_nobody_knows_is_a_parameter_error(library):
    FaceSDK(library).init()

    answer = library.call({"cmd": "stopWxpayface", **COMMON})

    assert answer["return_code"] == "PARAM_ERROR"


def test_a_service_that_is_still_starting_says_so(double):
    double.will_start_after(2)

    for camera in (FaceSDK(double.library), simulated(Room(), starting=2)):
        for _ in range(2):
            with pytest.raises(errors.Initialising):
                camera.init()
        camera.init()
        assert camera.rawdata()


@pytest.mark.parametrize("name", ["appid", "mch_id", "store_id"])
def test_an_authinfo_of_other_terms_is_no_licence(double, name):
    camera = FaceSDK(double.library)
    camera.init()

    with pytest.raises(errors.CredentialExpired):
        camera.code(replace(PARAMS, **{name: "another"}))


def test_an_authinfo_of_another_device_is_no_licence(double):
    camera = FaceSDK(double.library)
    camera.init()

    with pytest.raises(errors.CredentialExpired):
        camera.code(replace(PARAMS, authinfo=BOUND.replace("SN-1", "SN-2")))


# The simulated one


def test_a_file_that_is_no_library_is_not_loadable(tmp_path):
    path = tmp_path / "WxpayFaceSDK.dll"
    path.write_bytes(b"MZ")

    with pytest.raises(errors.NotLoadable):
        CLibrary(path)


def test_a_library_without_the_two_symbols_is_not_loadable():
    with pytest.raises(errors.NotLoadable):
        CLibrary("libc.so.6")


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
    camera.authorize(BOUND, sighting.face_sid, quit=False)

    assert room.posted == [
        ("/_sim/scan", {"authinfo": BOUND, "person": "stranger-7", "machine": "YWFh" * 5, **TERMS}),
        (
            "/_sim/authorize",
            {"face_sid": "sid-1", "authinfo": BOUND, "quit_face_auth": "0"},
        ),
    ]


def test_the_simulated_camera_recognises_who_stands_there():
    room = Room()
    camera = simulated(room, person="stranger-7")
    camera.init()

    camera.user_info(MEMBER_PARAMS, ask_unionid=True)
    camera.user_info(MEMBER_PARAMS, ask_unionid=False)  # nothing was left open

    asked = {"authinfo": BOUND, "person": "stranger-7", "machine": "YWFh" * 5, **TERMS}
    assert room.posted == [
        ("/_sim/userinfo", {**asked, "ask_unionid": "1"}),
        ("/_sim/userinfo", {**asked, "ask_unionid": "0"}),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ask_unionid": 1},
        {"ask_unionid": "yes"},
        {"appid": 7},
        {"appid": "x" * 33},
        {"screen_index": 2},
        {"use_window_nofocus": "yes"},
        {"disable_keyboard": "1"},
        {"telephone": "13000000000"},
        {"nickname": "x"},
    ],
)
def test_the_simulated_camera_wants_strings(wrong):
    library = simulated_library(Room())
    library.call({"cmd": "initWxpayface", **COMMON})
    params = {name: value for name, value in asdict(MEMBER_PARAMS).items() if value}

    answer = library.call({"cmd": "getWxpayfaceUserInfo", **COMMON, **params, **wrong})

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


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 8356},
        {"port": "http"},
        {"ip": ""},
        {"proxy_type": "2"},
        {"proxy_type": 4},
        {"proxy_type": True},
        {"camera_rotation": 0},
        {"camera_rotation": "1"},
        {"proxy": "10.0.0.1"},
    ],
)
def test_the_simulated_camera_judges_how_it_is_started(wrong):
    answer = simulated_library(Room()).call({"cmd": "initWxpayface", **COMMON, **wrong})

    assert answer["return_code"] == "PARAM_ERROR"


def test_the_simulated_camera_starts_with_all_that_is_documented():
    camera = simulated(Room())

    proxy = Proxy(ip="10.0.0.1", port="8356", user="u", passwd="p", type=3)
    camera.init(proxy=proxy, camera_rotation=1)
    window = Window(screen_index=1, no_focus=True, no_keyboard=True)
    camera.code(PARAMS, window=window, ask_token=True, openid="openid-1", telephone="13000000000")
    camera.authorize(BOUND, "sid-1", quit=True)

    assert camera.user_info(MEMBER_PARAMS, ask_unionid=False, window=window).openid == "openid-1"


def test_an_old_simulated_camera_knows_nothing_newer():
    camera = simulated(Room(), version="1.23")
    camera.init()

    with pytest.raises(errors.Outdated):
        camera.user_info(MEMBER_PARAMS, ask_unionid=True)


def test_a_simulated_camera_from_before_the_wait_leaves_nothing_open():
    camera = simulated(Room(), version="1.19")
    camera.init()

    assert camera.code(PARAMS).face_sid == camera.code(PARAMS).face_sid == "sid-1"
