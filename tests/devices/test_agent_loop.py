import io
import itertools
import random
import threading
import time

import httpx
import pytest

from devices.agent import keys, people
from devices.agent.api import Server
from devices.agent.console import Console
from devices.agent.screen import Dark
from devices.agent.signing import TerminalAuth
from tests.devices.lobby import (
    KEY,
    Clock,
    Hospital,
    Room,
    agrees,
    beaten,
    camera_in,
    crowd,
    problem,
    receive,
    said,
    terminal_at,
    wire_to,
)


class Nobody:
    """Nobody comes, for so many seconds."""

    def __init__(self, clock, *, seconds):
        self.clock, self.seconds = clock, seconds

    def arrive(self, meanwhile):
        until = self.clock.now + self.seconds
        while self.clock.now < until:
            meanwhile()
            self.clock.sleep(1)
        return False


class Closable(Dark):
    """A screen that remembers why it was closed."""

    def __init__(self):
        self.obstacles = []

    def block(self, code, detail=""):
        self.obstacles.append(code)


def test_the_loop_goes_on_after_an_outage():
    clock, hospital = Clock(), Hospital()
    hospital.weather = [None, None, problem(503, "unavailable", retry_after=90)]

    visits = receive(hospital, crowd("stranger-1", "stranger-2"), clock=clock)

    assert [visit.state for visit in visits] == ["interrupted", "onboarded"]
    assert visits[0].reason == "unavailable 说明"
    assert clock.now == pytest.approx(91)


def test_a_quiet_terminal_still_beats():
    hospital = Hospital()

    receive(hospital, crowd("stranger-1"), every=300)

    beats = hospital.bodies("heartbeat/")
    assert 10 <= len(beats) <= 12
    assert beats[0]["camera"] == "ready"
    assert beats[0]["clock"] == pytest.approx(time.time(), abs=60)
    assert beats[0]["disk_free_mb"] > 0
    assert (beats[0]["uptime"], beats[-1]["uptime"]) == (0, 300)
    assert not any("last_error" in beat for beat in beats)


def test_the_first_credential_is_there_before_the_first_person():
    hospital = Hospital()

    receive(hospital, crowd("stranger-1"))

    assert hospital.paths()[:3] == ["heartbeat/", "authinfo/", "notice/"]
    assert hospital.paths().count("authinfo/") == 1


def test_the_next_credential_is_fetched_before_this_one_ends():
    clock, hospital = Clock(), Hospital(expires_in=1200)

    receive(hospital, crowd("stranger-1"), clock=clock, every=1000)

    first, second = hospital.bodies("authinfo/")
    assert "refresh" not in first
    assert second["refresh"] is True


def test_a_credential_that_cannot_be_had_ahead_is_tried_for_again_without_haste():
    told, clock, hospital = [], Clock(), Hospital()
    answer = hospital.answer

    def without_wechat(path):
        return problem(503, "unavailable", retry_after=5) if path == "authinfo/" else answer(path)

    hospital.answer = without_wechat
    receive(hospital, Nobody(clock, seconds=300), clock=clock, told=told)

    assert hospital.paths().count("authinfo/") == 5
    assert [line for line in told if "凭证" in line] == ["未能预先取得凭证：unavailable 说明"]


def test_what_went_wrong_is_in_the_next_heartbeat_and_in_no_other():
    hospital = Hospital()
    expired = {"return_code": "ERROR", "err_code": 271382020}

    receive(hospital, crowd("stranger-1"), room=Room(expired, expired), every=60)

    errors = [beat.get("last_error") for beat in hospital.bodies("heartbeat/")]
    assert errors == [None, "CREDENTIAL_EXPIRED", None]


def test_a_terminal_that_waits_long_for_the_server_beats_meanwhile():
    clock, hospital = Clock(), Hospital(ends="authorized")

    receive(hospital, crowd("stranger-1"), clock=clock)

    beats = [path for path in hospital.paths() if path == "heartbeat/"]
    assert len(beats) == 1 + 120 / 30


def test_a_word_that_is_no_code_is_not_sent():
    hospital = Hospital()
    hospital.weather = [None, None, said(403, code="张三 13800138000", detail="")]

    receive(hospital, crowd("stranger-1"), every=40)

    assert hospital.bodies("heartbeat/")[1]["last_error"] == "OTHER"


def test_a_suspended_terminal_says_why_and_resumes_by_itself():
    told, clock, hospital = [], Clock(), Hospital()
    stopped = {"suspension": {"reason": "维修"}}
    hospital.weather = [beaten(**stopped), beaten(**stopped), beaten(**stopped)]

    visits = receive(hospital, crowd("stranger-1"), clock=clock, told=told)

    assert told[:2] == ["本终端已停用：维修", "已恢复服务"]
    assert hospital.paths()[:4] == ["heartbeat/"] * 4
    assert [visit.state for visit in visits] == ["onboarded"]
    assert clock.now == pytest.approx(91)


def test_a_terminal_without_its_server_receives_nobody():
    told, clock, hospital = [], Clock(), Hospital()
    hospital.weather = [httpx.ConnectError("refused") for _ in range(7)]

    visits = receive(hospital, crowd("stranger-1"), clock=clock, told=told)

    assert told[:2] == ["心跳未送达：无法连接服务器（ConnectError）", "已恢复服务"]
    assert [visit.state for visit in visits] == ["onboarded"]
    assert clock.now == pytest.approx(36)


def test_a_terminal_without_its_camera_receives_nobody_until_it_is_back():
    told, clock, hospital = [], Clock(), Hospital()
    camera, _ = camera_in(Room(), starting=45)  # two heartbeats in vain, twenty attempts each
    screen = Closable()

    visits = receive(
        hospital, crowd("stranger-1"), clock=clock, told=told, camera=camera, screen=screen
    )

    assert told[:2] == ["摄像头没有就绪，每次心跳时再试", "已恢复服务"]
    assert screen.obstacles == ["camera_missing", "camera_missing", ""]
    assert [beat["camera"] for beat in hospital.bodies("heartbeat/")] == [
        "missing",
        "missing",
        "ready",
    ]
    assert [visit.state for visit in visits] == ["onboarded"]


def test_why_a_terminal_is_suspended_comes_before_its_camera():
    hospital, screen = Hospital(), Closable()
    hospital.weather = [beaten(suspension={"reason": "维修"})]
    camera, _ = camera_in(Room(), starting=25)

    receive(hospital, crowd("stranger-1"), camera=camera, screen=screen)

    assert screen.obstacles[0] == "terminal_suspended"


def test_a_server_that_has_had_enough_of_us_is_there_all_the_same():
    hospital = Hospital()
    hospital.weather = [problem(429, "throttled", retry_after=20)]

    visits = receive(hospital, crowd("stranger-1"))

    assert [visit.state for visit in visits] == ["onboarded"]
    assert hospital.paths().count("heartbeat/") == 1


def test_a_clock_that_jumps_in_the_middle_of_a_day_is_corrected():
    jump = 0.0
    hospital, clock = Hospital(), Clock()
    auth = TerminalAuth(KEY, keys.key_id(KEY), clock=lambda: time.time() + jump)
    terminal = terminal_at(hospital, clock=clock, auth=auth)
    terminal.visit(consent=agrees)

    jump = 7 * 3600.0
    first = terminal.visit(consent=agrees)
    jump = -7 * 3600.0
    second = terminal.visit(consent=agrees)

    assert (first.state, second.state) == ("onboarded", "onboarded")
    assert auth.now() == pytest.approx(time.time(), abs=5)
    assert len(hospital.requests) == len(hospital.signatures) == 6 + 5 + 5 + 2


def test_a_lobby_is_mostly_strangers_and_somebody_of_every_kind():
    crowd = list(itertools.islice(people.passers_by(random.Random(7)), 500))

    new = {person.id for person in crowd if person.id.startswith("stranger-") and person.agrees}
    assert crowd[0].id in new
    assert 300 < len(new) < 400
    assert {"decliner", "minor"} <= {person.id for person in crowd}
    assert any(not person.agrees for person in crowd)
    assert len({person.id for person in crowd}) < len(crowd)


def test_a_name_is_wiped_after_a_minute_and_once():
    clock, wiped_at = Clock(), []

    visits = receive(
        Hospital(),
        crowd("stranger-1"),
        clock=clock,
        every=200,
        wipe=lambda: wiped_at.append(clock.now),
    )

    assert visits[0].masked_name == "张*"
    assert wiped_at == [60]


def test_nobody_is_wiped_who_was_not_shown():
    wiped = []

    receive(
        Hospital(ends="guardian_required"),
        crowd("minor"),
        every=200,
        wipe=lambda: wiped.append(1),
    )

    assert wiped == []


def test_a_name_is_on_the_console_and_in_nothing_that_is_said():
    told, out = [], io.StringIO()
    console = Console(out)

    receive(Hospital(), crowd("stranger-1"), told=told, screen=console, every=61, wipe=console.wipe)

    assert out.getvalue() == "张*，编号 P0000001\n\x1b[H\x1b[2J\x1b[3J"
    assert not any("张" in line for line in told)


def test_a_console_that_names_nobody_is_left_as_it_is():
    out = io.StringIO()
    console = Console(out)
    console.wipe()

    receive(Hospital(), crowd("stranger-1"), screen=console)
    console.wipe()
    console.wipe()

    assert out.getvalue() == "张*，编号 P0000001\n\x1b[H\x1b[2J\x1b[3J"


def test_a_log_has_the_number_and_no_name():
    told = []

    receive(Hospital(), crowd("stranger-1"), told=told)

    assert any(line.startswith("建档完成：编号 P0000001") for line in told)
    assert not any("张" in line for line in told)


# Somebody at a keyboard


def typing(*lines):
    """Yield lines, and say in between that there is time for something else."""
    meanwhile = threading.Event()

    def typed():
        for line in lines:
            meanwhile.wait(10)
            meanwhile.clear()
            yield line

    return people.AtConsole(lambda _text: None, typed=typed()), meanwhile.set


def test_a_terminal_that_waits_for_a_key_still_does_what_is_due(monkeypatch):
    monkeypatch.setattr(people, "TICK", 0.01)
    guests, now_type = typing("\n", "q\n")
    asked = []

    def meanwhile():
        asked.append(1)
        now_type()

    came = [guests.arrive(meanwhile), guests.arrive(meanwhile)]

    assert came == [True, False]
    assert len(asked) >= 2


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\n", True), ("同意\n", True), ("n\n", False), ("\n", False)]
)
def test_consent_is_typed(typed, agreed):
    guests = people.AtConsole(lambda _text: None, typed=iter(["\n", typed]))
    notice = Server(wire_to(Hospital())).notice()
    guests.arrive()

    assert guests.consent(notice) is agreed


def test_a_keyboard_that_is_gone_agrees_to_nothing_and_brings_nobody():
    guests = people.AtConsole(lambda _text: None, typed=iter([]))
    notice = Server(wire_to(Hospital())).notice()

    assert [guests.consent(notice), guests.arrive(), guests.arrive()] == [False, False, False]
