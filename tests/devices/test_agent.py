import base64
import io
import json
import stat
import time

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import (
    load_pem_public_key,
)
from http_message_signatures import InvalidSignature

from devices.agent import __main__ as program
from devices.agent import activation, keys
from devices.agent.api import Problem, Server, Unreachable
from devices.agent.options import mounting, parse
from devices.agent.signing import TerminalAuth
from devices.agent.visit import Mounting
from devices.sdk import FaceSDK, Proxy, Window
from devices.sdk.simulated import SimulatedLibrary
from tests.devices.lobby import (
    COMPONENTS,
    KEY,
    SECRETS,
    SESSION,
    Clock,
    Hospital,
    Room,
    activated,
    command_line,
    connect_to,
    key_id_of,
    network,
    problem,
    said,
    wire_to,
)

# Keys and signatures


@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "ed25519"])
def test_every_request_is_signed_by_the_profile(algorithm):
    key = keys.make(algorithm)
    hospital = Hospital(key.public_key())
    wire = wire_to(hospital, auth=TerminalAuth(key, keys.key_id(key)))

    wire.get(f"face-sessions/{SESSION}/", wait=10)
    wire.post("heartbeat/", {})

    for result in hospital.signatures:
        assert tuple(result.covered_components)[:-1] == COMPONENTS
        assert result.parameters["alg"] == algorithm
        assert result.parameters["keyid"] == key_id_of(key.public_key())
        assert len(base64.urlsafe_b64decode(result.nonce + "==")) >= 16
    get, post = hospital.signatures
    assert get.covered_components['"@query"'] == "?wait=10"
    assert get.body == b""
    assert post.body == b"{}"
    assert get.nonce != post.nonce


def test_another_body_is_not_what_was_signed():
    auth = TerminalAuth(KEY, keys.key_id(KEY))
    request = httpx.Request("POST", "http://h/api/v1/heartbeat/", content=b"{}")
    signed = next(auth.auth_flow(request))
    forged = httpx.Request("POST", signed.url, content=b"[]", headers=signed.headers)

    with pytest.raises(InvalidSignature):
        Hospital().verify(forged)


def test_a_key_survives_its_pem():
    for algorithm in ("ecdsa-p256-sha256", "ed25519"):
        key = keys.make(algorithm)

        again = keys.from_pem(keys.to_pem(key))

        assert keys.key_id(again) == keys.key_id(key) == key_id_of(key.public_key())


def test_a_damaged_key_is_unusable():
    with pytest.raises(keys.UnusableKey):
        keys.from_pem(b"-----BEGIN PRIVATE KEY-----\n")


# The wire


def test_a_wrong_clock_is_corrected_once_and_for_all():
    hospital = Hospital()
    auth = TerminalAuth(KEY, keys.key_id(KEY), clock=lambda: time.time() - 86_000)
    wire = wire_to(hospital, auth=auth)

    wire.post("heartbeat/", {})
    wire.post("heartbeat/", {})

    assert len(hospital.requests) == 3
    assert auth.offset == pytest.approx(86_000, abs=2)


def test_a_server_that_never_agrees_on_the_time_is_not_asked_for_ever():
    hospital = Hospital()
    hospital.weather = [problem(401, "clock_skew", server_time=1.0) for _ in range(9)]
    wire = wire_to(hospital)

    with pytest.raises(Problem, match="clock_skew"):
        wire.post("heartbeat/", {})

    assert len(hospital.requests) == 2


@pytest.mark.parametrize(
    "weather",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.Response(502, text="<html>"),
        problem(503, "unavailable"),
        problem(429, "throttled", retry_after=2),
        problem(409, "in_flight", retry_after=1),
    ],
)
def test_a_retried_post_is_one_request_to_the_server(weather):
    sent = []
    hospital = Hospital()
    hospital.weather = [weather, None]
    wire = wire_to(lambda request: sent.append(request) or hospital(request))

    wire.post("face-sessions/", {"granted": True})

    first, second = sent
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.content == second.content
    assert first.headers["Signature-Input"] != second.headers["Signature-Input"]


def test_two_posts_are_two_requests():
    sent = []
    hospital = Hospital()
    wire = wire_to(lambda request: sent.append(request) or hospital(request))

    wire.post("heartbeat/", {})
    wire.post("heartbeat/", {})

    assert len({request.headers["Idempotency-Key"] for request in sent}) == 2


def test_retry_after_is_waited_out():
    clock = Clock()
    hospital = Hospital()
    hospital.weather = [problem(503, "unavailable", retry_after=17)]

    wire_to(hospital, clock=clock).post("heartbeat/", {})

    assert clock.slept == [17]


def test_patience_has_an_end():
    clock = Clock()
    hospital = Hospital()
    hospital.weather = [httpx.ConnectError("refused") for _ in range(1000)]

    with pytest.raises(Unreachable, match="ConnectError"):
        wire_to(hospital, clock=clock).get("notice/")

    assert 50 < clock.now <= 60


def test_a_refusal_is_not_retried():
    hospital = Hospital()
    hospital.weather = [problem(409, "wrong_state")]

    with pytest.raises(Problem) as caught:
        wire_to(hospital).post("face-sessions/", {})

    assert (caught.value.code, caught.value.status) == ("wrong_state", 409)
    assert caught.value.detail == "说明"
    assert len(hospital.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(200, text="{", headers={"Content-Type": "application/json"}),
    ],
)
def test_what_is_not_our_server_is_called_so(answer):
    hospital = Hospital()
    hospital.weather = [answer]

    with pytest.raises(Problem, match="not_our_server"):
        Server(wire_to(hospital)).notice()


def test_a_session_id_that_is_no_uuid_never_becomes_an_address():
    hospital = Hospital()
    hospital.weather = [said(201, id="../../healthz", state="opened")]

    with pytest.raises(Problem, match="not_our_server"):
        Server(wire_to(hospital)).open(notice_version=3, granted=True, purposes=[])


# Activation and the command line


def test_activation_registers_a_key_that_stays_here(tmp_path):
    hospital, state = Hospital(), tmp_path / "state"

    identity = activated(state, hospital)

    [body] = hospital.bodies("terminals/activation/")
    assert body["code"] == "AAAA-BBBB-CCCC"
    assert load_pem_public_key(body["public_key"].encode()) == identity.key.public_key()
    assert len(hospital.signatures) == 1
    assert identity.key_id == key_id_of(identity.key.public_key())
    assert (identity.serial, identity.store) == ("T-01", "门诊楼")
    assert {path.name for path in state.iterdir()} == {"terminal.json", f"{identity.key_id}.pem"}
    for path in state.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_the_state_directory_remembers_the_terminal(tmp_path):
    identity = activated(tmp_path, Hospital())

    again = activation.recall(tmp_path)

    assert again.key_id == identity.key_id
    assert keys.to_pem(again.key) == keys.to_pem(identity.key)


def test_activating_again_replaces_the_key(tmp_path):
    first = activated(tmp_path, Hospital())

    second = activated(tmp_path, Hospital())

    assert second.key_id != first.key_id
    assert [path.stem for path in tmp_path.glob("*.pem")] == [second.key_id]


def test_a_refused_code_changes_nothing(tmp_path):
    first = activated(tmp_path, Hospital())
    hospital = Hospital()
    hospital.weather = [problem(409, "activation_code_invalid")]

    with pytest.raises(Problem):
        activated(tmp_path, hospital)

    assert activation.recall(tmp_path).key_id == first.key_id


def test_an_activation_whose_answer_was_lost_goes_on_with_its_key(tmp_path):
    hospital = Hospital()
    hospital.weather = [httpx.ReadError("gone") for _ in range(60)]
    with pytest.raises(Unreachable):
        activated(tmp_path, hospital)
    [begun] = tmp_path.iterdir()
    mode = stat.S_IMODE(begun.stat().st_mode)
    hospital.weather = []

    identity = activated(tmp_path, hospital)

    offered = {body["public_key"] for body in hospital.bodies("terminals/activation/")}
    assert offered == {keys.public_pem(identity.key)}
    assert mode == 0o600
    assert not begun.exists()


def test_a_key_that_was_refused_is_not_offered_again(tmp_path):
    hospital = Hospital()
    hospital.weather = [problem(409, "key_in_use")]
    with pytest.raises(Problem):
        activated(tmp_path, hospital)

    activated(tmp_path, hospital)

    refused, taken = (body["public_key"] for body in hospital.bodies("terminals/activation/"))
    assert refused != taken


def test_a_key_of_another_kind_is_not_gone_on_with(tmp_path):
    hospital = Hospital()
    hospital.weather = [problem(503, "unavailable", retry_after=90)]
    with pytest.raises(Problem):
        activated(tmp_path, hospital)

    identity = activation.activate(
        tmp_path,
        "AAAA-BBBB-CCCC",
        connect=connect_to(hospital),
        algorithm="ed25519",
        sdk_version="simulated",
    )

    assert keys.algorithm(identity.key) == "ed25519"


def test_an_empty_directory_is_no_terminal(tmp_path, capsys):
    with pytest.raises(activation.NotActivated):
        activation.recall(tmp_path)

    status = program.main(["--server", "http://127.0.0.1:1", "--state", str(tmp_path), "--once"])

    assert status == 2
    assert "尚未激活" in capsys.readouterr().err


def test_once_onboards_a_stranger_and_says_so(tmp_path, capsys):
    room = Room()
    there = network(Hospital(), room)

    status = program.main(
        command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--json"), transport=there
    )

    shown = capsys.readouterr()
    line = json.loads(shown.out)
    assert status == 0
    assert (line["state"], line["patient"]) == ("onboarded", "P0000001")
    assert isinstance(line["seconds"], float)
    assert "建档完成：编号 P0000001" in shown.err
    assert "张" not in shown.err
    assert room.posted[0]["person"].startswith("stranger-")
    assert not any(secret in shown.out + shown.err for secret in SECRETS)


class Seat(io.StringIO):
    """A window somebody sits at, not a pipe."""

    def isatty(self):
        return True


def test_once_leaves_no_name_in_the_window_it_was_started_in(tmp_path, monkeypatch):
    seat = Seat()
    monkeypatch.setattr("sys.stdout", seat)
    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC")

    program.main(arguments, transport=network(Hospital(), Room()))

    assert "建档完成：编号 P0000001" in seat.getvalue()
    assert "张" not in seat.getvalue()


def test_a_program_that_ends_takes_the_name_from_its_window(tmp_path, monkeypatch):
    seat = Seat()
    monkeypatch.setattr("sys.stdout", seat)
    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--person", "stranger-1")
    arguments.remove("--once")

    program.main([*arguments, "--every", "0"], transport=network(Hospital(), Room()))

    shown = seat.getvalue()
    assert shown.index("张*") < shown.index("\x1b[3J")


def test_once_without_a_patient_is_a_failure_with_a_reason(tmp_path, capsys):
    there = network(Hospital(ends="guardian_required"), Room())

    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--person", "minor")
    status = program.main(arguments, transport=there)

    assert status == 1
    assert "guardian_required" in capsys.readouterr().err


def test_recognising_once_says_who_it_is(tmp_path, capsys):
    there = network(Hospital(ends="recognised"), Room())

    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--recognise")
    status = program.main(arguments, transport=there)

    shown = capsys.readouterr().out
    assert status == 0
    assert "已识别：编号 P0000001" in shown
    assert not any(secret in shown for secret in SECRETS)


def test_who_is_not_on_record_is_told_how_to_be(tmp_path, capsys):
    there = network(Hospital(ends="unrecognised"), Room())

    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--recognise")
    status = program.main(arguments, transport=there)

    shown = capsys.readouterr()
    assert status == 1
    assert "没有找到档案，可以刷脸建档" in shown.out
    assert "未识别：unrecognised" in shown.err


def test_a_used_code_on_the_same_command_line_is_no_obstacle(tmp_path, capsys):
    hospital = Hospital()
    there = network(hospital, Room())
    arguments = command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC")
    program.main(arguments, transport=there)
    hospital.weather = [problem(409, "activation_code_invalid")]

    status = program.main(arguments, transport=there)

    assert status == 0
    assert "沿用已有的激活" in capsys.readouterr().out


def test_a_used_code_without_a_terminal_is_an_obstacle(tmp_path, capsys):
    hospital = Hospital()
    hospital.weather = [problem(409, "activation_code_invalid")]
    there = network(hospital, Room())

    status = program.main(command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC"), transport=there)

    assert status == 2
    assert "activation_code_invalid" in capsys.readouterr().err


# How the box is mounted, on the command line


def mounted(*arguments):
    options = parse(["--server", "https://h", "--state", "s", *arguments])
    return mounting(options), options


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("http://hospital", "须为 https"),
        ("http://10.0.0.1", "须为 https"),
        ("hospital", "不是网址"),
        ("https://", "不是网址"),
        ("ftp://h", "不是网址"),
    ],
)
def test_nothing_about_patients_travels_in_the_clear(server, why, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(["--server", server, "--state", "s"])

    assert caught.value.code == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "server", ["https://hospital", "http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost"]
)
def test_a_server_is_reached_privately_or_on_this_machine(server):
    assert parse(["--server", server, "--state", "s"]).server == server


def test_a_box_is_mounted_plainly_unless_somebody_says_otherwise():
    plain, options = mounted()

    assert plain == Mounting()
    assert (options.aggregate, options.sdk_version, options.rotate_every) == (False, "", 90)


def test_a_box_is_mounted_as_the_command_line_says(tmp_path):
    login = tmp_path / "login"
    login.write_text("user\npass word\n")

    box, _ = mounted(
        *["--proxy", "10.0.0.1:8356", "--proxy-type", "2", "--proxy-login", str(login)],
        *["--rotation", "3", "--screen-index", "2", "--no-focus", "--no-keyboard"],
    )

    assert box == Mounting(
        proxy=Proxy(ip="10.0.0.1", port="8356", user="user", passwd="pass word", type=2),
        camera_rotation=3,
        window=Window(screen_index=2, no_focus=True, no_keyboard=True),
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--proxy", "10.0.0.1"], "应为 IP:端口"),
        (["--proxy", "10.0.0.1:http"], "应为 IP:端口"),
        (["--proxy-login", "/nowhere"], "应是可读的两行：用户名、密码"),
        (["--screen-index", "0"], "应为 1 或更大的整数"),
        (["--sdk-version", "newest"], "应为 1.26 这样的版本号"),
    ],
)
def test_a_command_line_that_cannot_be_meant_is_refused(arguments, sentence, capsys):
    with pytest.raises(SystemExit):
        mounted(*arguments)

    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "needed"),
    [(["--sdk-version", "1.19"], "1.20"), (["--sdk-version", "1.23", "--recognise"], "1.24")],
)
def test_an_sdk_that_cannot_do_it_is_refused_before_anybody_comes(
    tmp_path, capsys, arguments, needed
):
    hospital = Hospital()
    status = program.main(
        command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", *arguments),
        transport=network(hospital, Room()),
    )

    assert status == 2
    assert f"需要 {needed} 或更新的版本" in capsys.readouterr().err
    assert hospital.requests == []


def test_the_sdk_is_told_the_servers_time(tmp_path, monkeypatch):
    room, told = Room(), []
    there = network(Hospital(), room)
    monkeypatch.setattr(SimulatedLibrary, "call", hearing(told, SimulatedLibrary.call))
    wrong = time.time() - 86_000
    monkeypatch.setattr(TerminalAuth.__init__, "__defaults__", (lambda: wrong,))
    monkeypatch.setitem(FaceSDK.__init__.__kwdefaults__, "clock", lambda: wrong)

    status = program.main(command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC"), transport=there)

    assert status == 0
    assert told[-1]["now"] == pytest.approx(time.time(), abs=60)


def hearing(told, call):
    def heard(self, request):
        told.append(request)
        return call(self, request)

    return heard
