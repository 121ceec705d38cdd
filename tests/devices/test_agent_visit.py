import traceback

import httpx
import pytest

from devices.agent import people
from devices.agent.api import Problem, Unreachable
from devices.agent.loop import attempt
from devices.agent.visit import Mounting
from devices.sdk import FaceParams, Proxy, Window
from devices.sdk.errors import Cancelled, Initialising, Unreadable
from tests.devices.lobby import (
    SECRETS,
    SESSION,
    Clock,
    Hospital,
    Room,
    agrees,
    camera_in,
    crowd,
    problem,
    receive,
    refuses,
    said,
    terminal_at,
)

PARAMS = FaceParams(appid="wx1", mch_id="1900000001", store_id="S1", authinfo="authinfo-0")


# The visit


def test_a_stranger_becomes_a_patient():
    told = []
    hospital, room = Hospital(), Room()
    terminal = terminal_at(hospital, room, said=told)

    visit = terminal.visit(consent=agrees)

    assert (visit.state, visit.patient, visit.masked_name) == ("onboarded", "P0000001", "张*")
    assert visit.seconds is not None
    assert hospital.paths() == [
        "notice/",
        "face-sessions/",
        "authinfo/",
        f"face-sessions/{SESSION}/sighting/",
        f"face-sessions/{SESSION}/authorization/",
        f"face-sessions/{SESSION}/",
    ]
    assert hospital.bodies("face-sessions/") == [
        {"notice_version": 3, "granted": True, "purposes": ["register"]}
    ]
    assert hospital.bodies(f"face-sessions/{SESSION}/sighting/") == [
        {"face_sid": "sid-1", "openid": "openid-1"}
    ]
    assert hospital.bodies(f"face-sessions/{SESSION}/authorization/") == [
        {"return_code": "SUCCESS"}
    ]
    assert room.answers_asked_for() == ["0"]
    assert not any(secret in "".join(told) + repr(visit) for secret in SECRETS)


def test_who_refuses_the_notice_is_not_looked_at():
    told = []
    hospital, room = Hospital(), Room()

    visit = terminal_at(hospital, room, said=told).visit(consent=refuses)

    assert (visit.state, visit.seconds) == ("refused", None)
    assert hospital.bodies("face-sessions/") == [
        {"notice_version": 3, "granted": False, "purposes": []}
    ]
    assert room.posted == []
    assert "人工窗口" in told[-1]


def test_a_known_patient_is_not_asked_again():
    hospital, room = Hospital(known=True), Room()

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert (visit.state, visit.patient) == ("recognised", "P0000001")
    assert room.answers_asked_for() == ["1"]
    assert hospital.paths()[-1].endswith("sighting/")


def test_a_screen_closed_unasked_is_no_authorization():
    hospital, room = Hospital(ends="failed"), Room()
    seen = said(200, id=SESSION, state="opened", quit_face_auth="1")
    hospital.weather = [None, None, None, seen]

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert visit.state == "failed"
    assert room.answers_asked_for() == ["1"]
    assert not any(path.endswith("authorization/") for path in hospital.paths())


def test_who_says_no_on_wechats_screen_is_reported():
    hospital, room = Hospital(), Room(authorization="USER_CANCEL")

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert visit.state == "declined"
    assert hospital.bodies(f"face-sessions/{SESSION}/authorization/") == [
        {"return_code": "USER_CANCEL"}
    ]


@pytest.mark.parametrize("ends", ["guardian_required", "failed", "expired"])
def test_every_final_state_ends_the_visit(ends):
    visit = terminal_at(Hospital(ends=ends)).visit(consent=agrees)

    assert (visit.state, visit.patient) == (ends, "")


def test_the_credential_is_kept_until_it_runs_out():
    clock = Clock()
    hospital = Hospital(expires_in=3600)
    terminal = terminal_at(hospital, clock=clock)

    for moment in (0, 3000, 3541):
        clock.now = moment
        terminal.visit(consent=agrees)

    assert hospital.paths().count("authinfo/") == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"return_code": "PARAM_ERROR", "return_msg": "AuthInfo License Error"},
        {"return_code": "ERROR", "err_code": 271382020},
    ],
)
def test_an_expired_credential_is_refreshed_once(answer):
    hospital, room = Hospital(), Room(answer)

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert visit.state == "onboarded"
    first, second = hospital.bodies("authinfo/")
    assert "refresh" not in first
    assert second["refresh"] is True


@pytest.mark.parametrize(("refusals", "state"), [(1, "onboarded"), (2, "interrupted")])
def test_refused_rawdata_is_taken_again_once(refusals, state):
    hospital = Hospital()
    hospital.weather = [None, None, *[problem(422, "rawdata_refused")] * refusals]
    guests = people.Synthetic(iter([people.Person("stranger-1")]))

    visit, _pause = attempt(terminal_at(hospital), guests, say=print)

    assert visit.state == state
    assert hospital.paths().count("authinfo/") == 2


def test_a_credential_that_stays_expired_ends_the_visit():
    expired = {"return_code": "ERROR", "err_code": 271382020}
    hospital, room = Hospital(), Room(expired, expired, expired)
    guests = people.Synthetic(iter([people.Person("stranger-1")]))

    visit, pause = attempt(terminal_at(hospital, room), guests, say=print)

    assert (visit.state, pause) == ("interrupted", 5)
    assert visit.reason == "CREDENTIAL_EXPIRED 调用凭证已失效"
    assert hospital.paths().count("authinfo/") == 2


def test_a_restarted_face_service_is_initialised_again():
    hospital, room = Hospital(), Room({"return_code": "FAIL", "err_code": 271378620})

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert visit.state == "onboarded"


def test_the_screen_is_closed_when_the_server_fails_us():
    clock, hospital, room = Clock(), Hospital(), Room()
    fine = [None, None, None]
    hospital.weather = [*fine, problem(403, "terminal_suspended")]
    terminal = terminal_at(hospital, room, clock=clock)

    with pytest.raises(Problem, match="terminal_suspended"):
        terminal.visit(consent=agrees)

    assert room.answers_asked_for() == ["1"]
    assert terminal.visit(consent=agrees).state == "onboarded"


def test_a_server_that_restarts_during_a_visit_is_waited_for():
    clock, hospital = Clock(), Hospital()
    gone = [httpx.ConnectError("refused") for _ in range(8)]
    hospital.weather = [None, None, None, None, *gone, None, httpx.ReadError("reset")]

    visit = terminal_at(hospital, clock=clock).visit(consent=agrees)

    assert visit.state == "onboarded"


def test_the_wait_for_a_slow_server_ends_and_is_not_a_busy_one():
    clock, hospital = Clock(), Hospital(ends="authorized")

    visit = terminal_at(hospital, clock=clock).visit(consent=agrees)

    assert (visit.state, visit.seconds) == ("authorized", None)
    assert 120 <= clock.now < 125
    assert len(hospital.requests) < 250


def test_no_secret_is_in_the_traceback_of_an_outage():
    hospital = Hospital()
    hospital.weather = [None, None, None, *[httpx.ConnectError("x") for _ in range(99)]]

    with pytest.raises(Unreachable) as caught:
        terminal_at(hospital).visit(consent=agrees)

    shown = "".join(traceback.format_exception(caught.value))
    assert not any(secret in shown for secret in SECRETS)
    assert caught.value.__context__ is None


# Whatever happens, WeChat's screen is closed


class Dying:
    """A screen, or a say, that dies at the given word."""

    is_lit = False

    def __init__(self, word, death):
        self.word, self.death = word, death

    def __call__(self, text):
        if text == self.word:
            raise self.death

    def show(self, step):
        self(str(step))

    def end(self, *args, **kwargs): ...

    def block(self, *args): ...


@pytest.mark.parametrize("death", [KeyboardInterrupt, BrokenPipeError, RuntimeError])
def test_a_program_that_dies_after_the_face_was_seen_asks_nobody(death):
    room = Room()
    camera, _ = camera_in(room)
    terminal = terminal_at(Hospital(), camera=camera, screen=Dying("confirm", death))

    with pytest.raises(death):
        terminal.visit(consent=agrees)

    assert room.answers_asked_for() == ["1"]


@pytest.mark.parametrize("state", ["failed", "refused", "guardian_required", "expired"])
def test_a_session_that_is_over_asks_nobody_whatever_else_it_says(state):
    hospital, room = Hospital(ends=state), Room()
    over = said(200, id=SESSION, state=state, quit_face_auth="0")
    hospital.weather = [None, None, None, over]

    visit = terminal_at(hospital, room).visit(consent=agrees)

    assert visit.state == state
    assert room.answers_asked_for() == ["1"]


def test_an_unreachable_server_leaves_no_screen_open_and_nothing_of_anyone():
    hospital, room = Hospital(), Room()
    hospital.weather = [None, None, None, *[httpx.ConnectError("x") for _ in range(99)]]
    camera, _ = camera_in(room)
    terminal = terminal_at(hospital, camera=camera)

    with pytest.raises(Unreachable):
        terminal.visit(consent=agrees)

    assert room.answers_asked_for() == ["1"]
    assert not any(secret in str(vars(terminal)) for secret in ("sid-1", "openid-1", "张"))


@pytest.mark.parametrize(
    "seen", [{"return_code": "SUCCESS", "face_sid": 7}, {"return_code": "SUCCESS"}]
)
def test_a_face_without_an_id_closes_the_screen_by_releasing(seen):
    camera, library = camera_in(Room(seen))
    terminal = terminal_at(Hospital(), camera=camera)

    with pytest.raises(Unreadable):
        terminal.visit(consent=agrees)

    assert library.commands[-2:] == ["getWxpayfaceCode", "releaseWxpayface"]
    assert terminal.visit(consent=agrees).state == "onboarded"


def test_a_screen_that_was_cancelled_does_not_keep_the_camera():
    camera, library = camera_in(Room({"return_code": "USER_CANCEL"}))
    terminal = terminal_at(Hospital(), camera=camera)

    with pytest.raises(Cancelled):
        terminal.visit(consent=agrees)

    assert library.commands[-1] == "releaseWxpayface"
    assert terminal.visit(consent=agrees).state == "onboarded"


def test_a_screen_that_will_not_be_told_is_closed_by_releasing():
    camera, library = camera_in(Room(authorization="PARAM_ERROR"))
    hospital = Hospital()

    terminal_at(hospital, camera=camera).visit(consent=agrees)

    assert library.commands[-2:] == ["getWxpayAuth", "releaseWxpayface"]


def test_a_service_that_dies_while_the_person_is_asked_ends_the_visit():
    camera, library = camera_in(Room(raises=httpx.ConnectError("gone")))
    guests = crowd("stranger-1")

    visit, _ = attempt(terminal_at(Hospital(), camera=camera), guests, say=print)

    assert (visit.state, visit.code) == ("interrupted", "NOT_RUNNING")
    assert library.commands[-1] == "releaseWxpayface"


def test_what_a_killed_predecessor_left_open_is_closed():
    camera, library = camera_in(Room())
    camera.init()
    camera.code(PARAMS)

    visits = receive(Hospital(), crowd("stranger-1"), camera=camera)

    assert [visit.state for visit in visits] == ["onboarded"]
    assert library.commands[2] == "releaseWxpayface"


# The camera that others use as well


def test_the_camera_is_kept_between_two_people():
    camera, library = camera_in(Room())

    receive(Hospital(), crowd("stranger-1", "stranger-2"), camera=camera)

    assert library.commands.count("initWxpayface") == 1
    assert library.commands.count("releaseWxpayface") == 1  # before the first


def test_in_aggregate_mode_each_visit_takes_the_camera_and_gives_it_back():
    camera, library = camera_in(Room())
    hospital = Hospital()

    receive(hospital, crowd("stranger-1", "stranger-2"), camera=camera, aggregate=True, every=100)

    visit = ["initWxpayface", "getWxpayfaceCode", "getWxpayAuth", "releaseWxpayface"]
    boot = ["releaseWxpayface", "initWxpayface", "getWxpayfaceRawdata", "releaseWxpayface"]
    assert library.commands == boot + visit + visit
    assert {beat["camera"] for beat in hospital.bodies("heartbeat/")} == {"ready"}


@pytest.mark.parametrize("consent", [agrees, refuses])
def test_in_aggregate_mode_the_camera_is_given_back_whatever_happens(consent):
    camera, library = camera_in(Room({"return_code": "FACE_UNKNOWN"}))
    terminal = terminal_at(Hospital(), camera=camera, aggregate=True)
    guests = crowd("stranger-1")
    guests.consent = consent

    attempt(terminal, guests, say=print)

    assert library.commands[-1] == "releaseWxpayface"
    assert library.commands.count("releaseWxpayface") == 1


def test_a_camera_that_is_not_given_back_is_told():
    told, camera = [], camera_in(Room())[0]
    terminal = terminal_at(Hospital(), camera=camera, said=told)
    terminal.camera()
    camera.release()

    terminal.close()

    assert told == ["摄像头未能释放：刷脸服务未初始化（NOT_INITIALISED）"]


def test_a_camera_that_does_not_start_is_missing_until_it_does():
    camera, _ = camera_in(Room(), starting=25)
    terminal = terminal_at(Hospital(), camera=camera)

    assert [terminal.camera(), terminal.camera()] == ["missing", "ready"]


def test_in_aggregate_mode_a_missing_camera_is_looked_for_and_given_back():
    camera, library = camera_in(Room(), starting=25)
    terminal = terminal_at(Hospital(), camera=camera, aggregate=True)
    with pytest.raises(Initialising):
        terminal.prefetch()

    assert terminal.camera() == "ready"
    assert library.commands[-1] == "releaseWxpayface"
    assert terminal.camera() == "ready"
    assert library.commands.count("initWxpayface") == 26


def test_how_the_box_is_mounted_is_told_to_the_sdk():
    asked = []
    camera, listening = camera_in(Room())
    call = listening.library.call
    listening.library.call = lambda request: asked.append(request) or call(request)
    mounting = Mounting(
        proxy=Proxy(ip="10.0.0.1", port="8356"),
        camera_rotation=1,
        window=Window(screen_index=2, no_keyboard=True),
    )

    terminal_at(Hospital(), camera=camera, mounting=mounting).visit(consent=agrees)

    init, _, scan, _ = asked
    assert (init["ip"], init["port"], init["camera_rotation"]) == ("10.0.0.1", "8356", 1)
    assert (scan["screen_index"], scan["disable_keyboard"]) == ("2", "1")


# The second kind


def test_a_known_patient_is_recognised_and_nobody_is_asked_for_a_name():
    hospital, room, told = Hospital(ends="recognised"), Room(), []

    visit = terminal_at(hospital, room, said=told).recognise(consent=agrees)

    assert (visit.state, visit.patient) == ("recognised", "P0000001")
    assert isinstance(visit.seconds, float)
    [opening] = hospital.bodies("face-sessions/")
    assert opening["kind"] == "FACEID-ONCE"
    assert hospital.bodies(f"face-sessions/{SESSION}/sighting/") == [
        {"openid": "openid-1", "token": "token-1"}
    ]
    assert not any(path.endswith("authorization/") for path in hospital.paths())
    assert [body["ask_unionid"] for body in room.posted] == ["1"]
    assert not any(secret in "".join(told) for secret in SECRETS)


def test_a_patient_recognised_at_once_is_not_waited_for():
    openid_alone = {"return_code": "SUCCESS", "openid": "openid-1"}
    hospital = Hospital(known=True)

    visit = terminal_at(hospital, Room(openid_alone)).recognise(consent=agrees)

    assert (visit.state, visit.patient) == ("recognised", "P0000001")
    assert hospital.paths()[-1].endswith("sighting/")


def test_who_refuses_is_not_recognised_either():
    room = Room()

    visit = terminal_at(Hospital(), room).recognise(consent=refuses)

    assert visit.state == "refused"
    assert room.posted == []


def test_one_credential_serves_both_kinds():
    hospital = Hospital(ends="recognised")
    terminal = terminal_at(hospital)

    terminal.recognise(consent=agrees)
    terminal.visit(consent=agrees)

    assert hospital.paths().count("authinfo/") == 1


def test_an_expired_credential_is_refreshed_for_a_member_too():
    hospital = Hospital(ends="recognised")
    room = Room({"return_code": "ERROR", "err_code": 271382020})

    visit = terminal_at(hospital, room).recognise(consent=agrees)

    assert visit.state == "recognised"
    assert hospital.bodies("authinfo/")[1]["refresh"] is True
