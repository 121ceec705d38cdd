import _thread
import gc
import http.client
import json
import re
import signal
import threading
import time
from contextlib import closing, contextmanager
from html.parser import HTMLParser
from importlib import resources

import httpx
import pytest

from devices.agent import __main__ as program
from devices.agent import keys
from devices.agent.api import FINAL, Notice, Patient, Purpose, Server
from devices.agent.kiosk import Board, PortTaken, serving, words
from devices.agent.kiosk.board import NotNow, View
from devices.agent.loop import attempt
from devices.agent.options import parse
from devices.agent.people import Agreement, Left
from devices.agent.screen import Dark, Step
from devices.agent.signing import TerminalAuth
from devices.agent.visit import Terminal, Visit
from devices.agent.wire import Wire
from devices.sdk import FaceSDK, errors
from devices.sdk.simulated import SimulatedLibrary
from tests.devices.lobby import KEY, SESSION, Hospital, Room, network, problem
from tests.house import free_ports

NOTICE = Notice(
    version=3,
    title="告知书",
    text="第一段\n\n第二段",
    purposes=(
        Purpose("register", "建档", required=True),
        Purpose("remind", "提醒", required=False),
    ),
    fallback="请到一楼三号窗口",
)
PAGE = resources.files("devices.agent.kiosk") / "page"
SOON = 10  # seconds within which another thread has had its turn


class Browser:
    """What runs on the terminal's screen, as bytes; `origin` and `cookie` are as a browser's."""

    def __init__(self, server, host=None):
        self.server = server
        self.host = host or f"127.0.0.1:{server.server_port}"
        self.cookie = ""
        self.turn = 0
        answer, _ = self.ask("GET", "/")
        self.cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=SOON)
        with closing(connection):
            given = {"Host": self.host, "Cookie": self.cookie}
            if method == "POST":
                given |= {"Origin": f"http://{self.host}", "Content_Type": "application/json"}
            given |= headers
            content = json.dumps(body) if isinstance(body, dict) else body
            sent = {
                name.replace("_", "-"): text for name, text in given.items() if text is not None
            }
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            return answer, answer.read()

    def press(self, name, **more):
        return self.ask("POST", f"/{name}", {"turn": self.turn, **more})[0].status

    @contextmanager
    def stream(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=SOON)
        with closing(connection):
            connection.request("GET", "/events", headers={"Host": self.host, "Cookie": self.cookie})
            yield connection.getresponse()

    def see(self, step):
        """Wait for `step`, as a page that has just been opened; return what it is told."""
        with self.stream() as answer:
            while line := answer.readline():
                if line.startswith(b"data: "):
                    view = json.loads(line[6:])
                    self.turn = view["turn"]
                    if view["step"] == step:
                        return view
        raise AssertionError(f"{step} was never shown")


@contextmanager
def opened(board):
    with serving(board, port=0) as server:
        yield Browser(server)


@contextmanager
def at_work(job):
    """Run `job` in the agent's thread; it has ended when the block has."""
    done = []
    thread = threading.Thread(target=lambda: done.append(job()))
    thread.start()
    try:
        yield done
    finally:
        thread.join(SOON)
        assert not thread.is_alive()


def step_of(board):
    return shown(board)["step"]


def shown(board):
    return board.watch(after=-1, timeout=0)[1]


def until(fact):
    give_up = time.monotonic() + SOON
    while not fact():
        assert time.monotonic() < give_up
        time.sleep(0.005)


def arrived(board):
    """Bring a board to where somebody has pressed start; return the turn."""
    with at_work(board.arrive) as done:
        until(lambda: step_of(board) == "ready")
        board.start(shown(board)["turn"])
    assert done == [True]
    return shown(board)["turn"]


def terminal_with(board, hospital, room=None):
    clock = FrozenClock()
    camera = SimulatedLibrary(
        "http://room", lambda: "stranger-1", transport=httpx.MockTransport(room or Room())
    )
    auth = TerminalAuth(KEY, keys.key_id(KEY))
    wire = Wire(
        "http://h",
        auth,
        transport=httpx.MockTransport(hospital),
        clock=clock,
        sleep=clock.sleep,
    )
    return Terminal(
        Server(wire), FaceSDK(camera), say=print, screen=board, clock=clock, sleep=clock.sleep
    )


class FrozenClock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Diary(Dark):
    """A screen that remembers its steps."""

    def __init__(self):
        self.steps = []

    def show(self, step):
        self.steps.append(step.value)


# Who may ask


def test_nobody_outside_this_machine_is_listened_to():
    with serving(Board(), port=0) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{server.server_port}/"


@pytest.mark.parametrize("path", ["/", "/events", "/page/main.js"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""])
def test_a_page_by_another_name_is_not_this_page(host, path):
    with opened(Board()) as browser:
        answer, body = browser.ask("GET", path, Host=host.format(port=browser.server.server_port))

    assert (answer.status, body) == (421, b"")
    assert answer.getheader("Set-Cookie") is None


def test_this_machine_may_be_called_localhost():
    board = Board()
    with serving(board, port=0) as server:
        browser = Browser(server, host=f"localhost:{server.server_port}")

        assert browser.see("wait")["step"] == "wait"
        assert browser.press("start") == 409


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": None},
        {"Cookie": "kiosk="},
        {"Cookie": "kiosk=" + "A" * 43},
        {"Cookie": "kiosk=ä"},
        {"Origin": None},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_button_of_another_page_is_not_pressed(headers):
    board = Board()
    with opened(board) as browser, at_work(board.arrive) as done:
        browser.see("ready")

        answer, _ = browser.ask("POST", "/start", {"turn": browser.turn}, **headers)

        assert answer.status == 403
        assert step_of(board) == "ready"
        board.close()
    assert done == [False]


@pytest.mark.parametrize("headers", [{"Cookie": None}, {"Sec_Fetch_Site": "cross-site"}])
def test_the_screen_is_told_to_its_own_page_only(headers):
    with opened(Board()) as browser:
        answer, _ = browser.ask("GET", "/events", **headers)

    assert answer.status == 403


def test_the_cookie_is_new_at_every_start_and_no_script_reads_it():
    with serving(Board(), port=0) as one, serving(Board(), port=0) as other:
        cookies = [Browser(server).cookie for server in (one, other)]
        answer, _ = Browser(one).ask("GET", "/")

    assert cookies[0] != cookies[1]
    assert len(cookies[0]) >= 40
    assert "HttpOnly; SameSite=Strict" in answer.getheader("Set-Cookie")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/page/kiosk.css", 200),
        ("GET", "/nothing", 404),
        ("GET", "/page/../server.py", 404),
        ("GET", "/page/%2e%2e/server.py", 404),
        ("GET", "/?name=x", 404),
        ("POST", "/nothing", 404),
        ("POST", "/start", 409),
    ],
)
def test_no_answer_is_kept_framed_or_guessed_at(method, path, status):
    with opened(Board()) as browser:
        answer, _ = browser.ask(method, path, {"turn": 0} if method == "POST" else None)

    assert answer.status == status
    policy = answer.getheader("Content-Security-Policy")
    assert policy.startswith("default-src 'self'; frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert answer.getheader("Cache-Control") == "no-store"
    assert answer.getheader("X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"[" * 3000, {}, 400),
        (b"\xff", {}, 400),
        (b"{}", {}, 400),
        (b'{"turn": "0"}', {}, 400),
        (b'{"turn": true}', {}, 400),
        (b'{"turn": 0}', {"Content_Type": "text/plain"}, 415),
        (b'{"turn": 0}', {"Content_Type": None}, 415),
        (b" " * 5000, {}, 413),
        (None, {"Content_Length": "-1"}, 411),
        (None, {"Content_Length": "٣"}, 411),
        (None, {"Transfer_Encoding": "chunked", "Content_Length": "1"}, 411),
    ],
)
def test_what_is_no_press_is_refused(body, headers, status):
    headers = {name: text.encode() if text else text for name, text in headers.items()}
    with opened(Board()) as browser:
        answer, _ = browser.ask("POST", "/start", body, **headers)

    assert answer.status == status


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"granted": True},
        {"granted": "true", "purposes": []},
        {"granted": 1, "purposes": []},
        {"granted": True, "purposes": "register"},
        {"granted": True, "purposes": [1]},
        {"granted": True, "purposes": {"register": 1}},
    ],
)
def test_an_answer_of_another_shape_is_no_answer(answer):
    with opened(Board()) as browser:
        assert browser.press("answer", **answer) == 400


def test_a_taken_port_is_said_so():
    with (
        serving(Board(), port=0) as server,
        pytest.raises(PortTaken, match=str(server.server_port)),
    ):
        serving(Board(), port=server.server_port).__enter__()


def test_only_so_many_pages_are_told():
    with opened(Board()) as browser, contextmanager(held_streams)(browser) as streams:
        statuses = [stream.status for stream in streams]

    assert statuses == [200] * 8 + [503]


def held_streams(browser, count=9, held=()):
    if count == 0:
        yield list(held)
        return
    with browser.stream() as one:
        if one.status == 200:
            one.readline()
        yield from held_streams(browser, count - 1, (*held, one))


class Inline(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        inline = tag == "style" or (tag == "script" and "src" not in given)
        self.found += [tag] if inline else []
        self.found += [name for name in given if name == "style" or name.startswith("on")]
        self.addresses += [given[name] for name in ("src", "href") if name in given]


def test_the_page_is_whole_by_itself():
    page = Inline()

    page.feed((PAGE / "index.html").read_text())

    assert page.found == []
    for address in page.addresses:
        assert address.startswith("#") or (PAGE / address.removeprefix("/page/")).is_file()
    for file in PAGE.iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", file.read_text())
        assert not re.search(r"innerHTML|insertAdjacentHTML|eval\(", file.read_text())
        assert not re.search(r"localStorage|sessionStorage|indexedDB", file.read_text())


# What is shown, and pressed


def test_somebody_agrees_and_what_they_ticked_is_known():
    board = Board()
    with opened(board) as browser:
        with at_work(board.arrive) as here:
            browser.see("ready")
            assert browser.press("start") == 204
        with at_work(lambda: board.consent(NOTICE)) as said:
            view = browser.see("notice")
            pressed = browser.press("answer", granted=True, purposes=["register"])

    assert here == [True]
    assert pressed == 204
    assert said == [Agreement(frozenset(["register"]))]
    assert view["notice"]["title"] == "告知书"
    assert [purpose["required"] for purpose in view["notice"]["purposes"]] == [True, False]
    assert set(view) == {
        "step",
        "turn",
        "notice",
        "number",
        "masked_name",
        "may_take_back",
        "seconds",
    }


def test_a_no_is_one_press_whatever_was_ticked():
    board = Board()
    turn = arrived(board)

    with at_work(lambda: board.consent(NOTICE)) as said:
        until(lambda: step_of(board) == "notice")
        board.answer(turn, granted=False, purposes=["register"])

    assert said == [False]


@pytest.mark.parametrize("purposes", [[], ["remind"], ["register", "other"]])
def test_a_yes_without_what_is_needed_is_no_yes(purposes):
    board = Board()
    turn = arrived(board)

    with at_work(lambda: board.consent(NOTICE)) as said:
        until(lambda: step_of(board) == "notice")
        with pytest.raises(NotNow):
            board.answer(turn, granted=True, purposes=purposes)
        board.answer(turn, granted=False, purposes=[])

    assert said == [False]


def test_nobody_answers_for_the_next_person():
    board = Board()
    turn = arrived(board)
    board.end("left")
    now = arrived(board)

    with at_work(lambda: board.consent(NOTICE)):
        until(lambda: step_of(board) == "notice")
        for late in (board.touch, lambda it: board.answer(it, granted=True, purposes=["register"])):
            with pytest.raises(NotNow):
                late(turn)
        board.answer(now, granted=False, purposes=[])

    assert now == turn + 1


def test_an_answer_is_taken_once():
    board = Board()
    turn = arrived(board)

    with at_work(lambda: board.consent(NOTICE)) as said:
        until(lambda: step_of(board) == "notice")
        with board._changed:  # the agent has not looked yet
            board.answer(turn, granted=False, purposes=[])
            with pytest.raises(NotNow):
                board.answer(turn, granted=True, purposes=["register"])

    assert said == [False]


def test_who_goes_away_leaves_nothing_behind():
    board = Board(patience=0.01)
    arrived(board)

    with pytest.raises(Left):
        board.consent(NOTICE)
    board.end("left")

    assert shown(board)["step"] == "wait"
    assert "notice" not in shown(board)


def test_who_still_reads_is_given_another_minute():
    clock = FrozenClock()
    board = Board(clock=clock)
    turn = arrived(board)

    with at_work(lambda: board.consent(NOTICE)) as said:
        until(lambda: step_of(board) == "notice")
        clock.now = 59
        board.touch(turn)
        clock.now = 118
        left = shown(board)["seconds"]
        board.answer(turn, granted=False, purposes=[])

    assert left == 1
    assert said == [False]


def test_the_terminal_beats_while_nobody_and_while_somebody_is_there():
    board, beats = Board(), []
    with at_work(lambda: board.arrive(lambda: beats.append(step_of(board)))):
        until(lambda: step_of(board) == "ready")
        board.start(shown(board)["turn"])
    with at_work(lambda: board.consent(NOTICE)):
        until(lambda: "notice" in beats)
        board.answer(shown(board)["turn"], granted=False, purposes=[])

    assert beats[0] == "wait"


def test_a_page_that_comes_back_sees_what_is():
    board = Board()
    with opened(board) as browser:
        board.show(Step.LOOK)
        browser.see("look")

        board.show(Step.WORKING)

        assert browser.see("working")["seconds"] is None
        again = Browser(browser.server)
        assert again.see("working")["step"] == "working"


# What is forgotten


def names_in_memory():
    gc.collect()
    kinds = (View, Visit, Patient)
    return [one for one in gc.get_objects() if type(one) in kinds and one.masked_name]


def test_a_name_is_gone_after_a_while():
    board = Board(linger=0.2)
    board.end("onboarded", number="P0000001", masked_name="张*三")
    before = shown(board)

    until(lambda: step_of(board) == "wait")

    assert (before["masked_name"], before["number"]) == ("张*三", "P0000001")
    assert before["words"]["title"] == "建档成功"
    assert names_in_memory() == []
    assert "P0000001" not in str(shown(board))


@pytest.mark.parametrize("how", ["dismiss", "close", "next"])
def test_a_name_is_gone_as_soon_as_it_was_seen(how):
    board = Board()
    arrived(board)
    board.end("onboarded", number="P0000001", masked_name="张*三")
    assert len(names_in_memory()) == 1

    {
        "dismiss": lambda: board.dismiss(shown(board)["turn"]),
        "close": board.close,
        "next": lambda: board.show(Step.WAIT),
    }[how]()

    assert names_in_memory() == []


def test_a_wipe_that_comes_late_leaves_the_next_person_alone():
    board = Board()
    turn = arrived(board)
    board.end("declined")
    board.start(turn)

    board._wipe(turn)

    assert shown(board)["turn"] == turn + 1


def test_an_ending_stays_until_it_was_read():
    board = Board()
    arrived(board)
    board.end("declined")

    with at_work(board.arrive) as here:
        until(lambda: board._is_awaiting)
        assert step_of(board) == "ended"
        board.dismiss(shown(board)["turn"])
        until(lambda: step_of(board) == "ready")
        board.close()

    assert here == [False]


@pytest.mark.parametrize(("state", "may"), [("declined", True), ("guardian_required", False)])
def test_starting_again_is_offered_where_it_helps(state, may):
    board = Board()
    turn = arrived(board)
    board.end(state)

    if may:
        board.start(turn)
    else:
        with pytest.raises(NotNow):
            board.start(turn)

    assert step_of(board) == ("wait" if may else "ended")


# Out of service


def test_a_suspended_terminal_says_why_and_opens_by_itself():
    board = Board()
    with at_work(board.arrive) as here:
        until(lambda: step_of(board) == "ready")

        board.block("terminal_suspended", "镜头维修")
        closed = shown(board)
        with pytest.raises(NotNow):
            board.start(closed["turn"])
        board.block("")

        until(lambda: step_of(board) == "ready")
        board.close()

    assert (closed["step"], closed["words"]["sentence"]) == ("closed", "镜头维修")
    assert here == [False]


def test_who_is_there_is_not_disturbed_by_the_next_heartbeat():
    board = Board()
    arrived(board)
    board.show(Step.LOOK)

    board.block("unreachable")

    assert step_of(board) == "look"
    board.end("left")
    assert step_of(board) == "closed"


def test_starting_again_at_a_closed_terminal_shows_why_it_is_closed():
    board = Board()
    turn = arrived(board)
    board.end("declined")
    board.block("terminal_suspended", "镜头维修")

    with pytest.raises(NotNow):
        board.start(turn)

    assert shown(board)["words"]["sentence"] == "镜头维修"


def test_a_start_that_meets_an_outage_is_told_so():
    board = Board()

    def beat():
        if step_of(board) == "ready":
            board.start(shown(board)["turn"])
            board.block("unreachable")

    with at_work(lambda: board.arrive(beat)) as here:
        until(lambda: step_of(board) == "closed")
        board.close()

    assert here == [False]


def test_a_missing_camera_is_nobodys_fault_and_names_another_way():
    board = Board()

    board.block("camera_missing")

    said = shown(board)["words"]
    assert "摄像头" in said["sentence"]
    assert "人工窗口" in said["advice"]
    assert said["retry"] is False


def test_an_unchanged_obstacle_is_not_announced_again():
    board = Board()
    board.block("unreachable")
    version, _ = board.watch(after=-1, timeout=0)

    board.block("unreachable", "again")

    assert board.watch(after=version, timeout=0) == (version, None)


# In words

CODES = sorted(
    {one.code for one in vars(errors).values() if isinstance(one, type) and hasattr(one, "code")}
    | {"unreachable", "terminal_suspended", "notice_outdated", "throttled", "clock_skew", "x"}
)


@pytest.mark.parametrize(
    ("state", "code"),
    [*((state, "") for state in sorted(FINAL)), *(("interrupted", code) for code in CODES)],
)
def test_every_ending_is_a_sentence_for_a_patient(state, code):
    said = words.ending(state, code=code, detail="", fallback="")

    assert said.title
    assert re.fullmatch(r"[\u4e00-\u9fff，。、；]+。", said.sentence)
    assert not re.search(r"[A-Za-z_]", said.title + said.sentence + said.advice)
    assert said.advice or state in ("onboarded", "recognised")


def test_the_hospitals_own_reason_is_told_and_codes_are_not():
    said = words.ending(
        "failed",
        code="name_differs",
        detail="该证件已建档但姓名不一致，请到人工窗口核对",
        fallback="",
    )

    assert said.sentence == "该证件已建档但姓名不一致，请到人工窗口核对"
    assert said.advice == ""
    for code in ("name_differs", "USER_CANCEL", "unreachable"):
        again = words.ending("interrupted", code=code, detail=f"{code} 12", fallback="")
        assert code not in str(again)


def test_who_does_not_want_it_is_told_the_hospitals_other_way():
    said = words.ending("refused", code="refused", detail="", fallback="请到一楼三号窗口")

    assert said.advice == "请到一楼三号窗口"


def test_who_said_no_lately_is_told_where_to_go_and_may_ask_for_it():
    said = words.ending("refused", code="refused_recently", detail="", fallback="请到一楼三号窗口")

    assert (said.retry, said.on_request) == (True, True)
    assert said.advice == "请到一楼三号窗口"


def test_who_asks_for_it_themselves_says_so_and_the_next_person_does_not():
    board, said = Board(), []
    arrived(board)
    board.end("refused", code="refused_recently")
    for start in ("我要重新办理", "开始"):
        with at_work(board.arrive):
            if start == "开始":
                board.dismiss(shown(board)["turn"])
                until(lambda: step_of(board) == "ready")
            board.start(shown(board)["turn"])
        with at_work(lambda: said.append(board.consent(NOTICE))):
            until(lambda: step_of(board) == "notice")
            board.answer(shown(board)["turn"], granted=True, purposes=["register"])
        board.end("refused", code="refused_recently")

    assert [one.on_request for one in said] == [True, False]


# With the agent


def test_what_was_asked_for_goes_to_the_server():
    hospital = Hospital()
    agreed = Agreement(frozenset(["register"]), on_request=True)

    terminal_with(Dark(), hospital).visit(consent=lambda _notice: agreed)

    assert hospital.bodies("face-sessions/")[0]["on_request"] is True


def test_what_was_ticked_goes_to_the_server():
    hospital, asked = Hospital(), []

    def consent(notice):
        asked.append(notice)
        return Agreement(frozenset(["remind", "register"]))

    visit = terminal_with(Dark(), hospital).visit(consent=consent)

    assert visit.state == "onboarded"
    assert hospital.bodies("face-sessions/") == [
        {"notice_version": 3, "granted": True, "purposes": ["register", "remind"]}
    ]


def test_who_walks_away_from_the_notice_is_not_on_record():
    hospital, board = Hospital(), Board(patience=0.01)
    arrived(board)

    visit, pause = attempt(terminal_with(board, hospital), board, say=print)

    assert (visit.state, pause) == ("left", 0)
    assert "face-sessions/" not in hospital.paths()
    assert step_of(board) == "wait"


def test_a_visit_is_followed_step_by_step():
    diary = Diary()

    terminal_with(diary, Hospital()).visit(consent=lambda _: True)

    assert diary.steps == ["wait", "look", "wait", "confirm", "working"]


def test_who_is_known_is_not_asked_to_confirm():
    diary = Diary()

    terminal_with(diary, Hospital(known=True)).visit(consent=lambda _: True)

    assert "confirm" not in diary.steps


def test_recognising_is_not_called_registering():
    diary = Diary()

    terminal_with(diary, Hospital(ends="recognised")).recognise(consent=lambda _: True)

    assert diary.steps == ["wait", "look", "seeking"]


@pytest.fixture
def interruptible():
    """By Ctrl-C: whoever runs these tests in a shell's background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_command_line_serves_a_visit_and_prints_nobody(tmp_path, capfd, interruptible):
    [port] = free_ports(1)
    hospital, seen = Hospital(), []

    class There:
        server_port = port

    def somebody():
        try:
            until(lambda: is_open(port))
            browser = Browser(There)
            browser.see("ready")
            browser.press("start")
            browser.see("notice")
            browser.press("answer", granted=True, purposes=["register"])
            seen.append(browser.see("done"))
            browser.press("dismiss")
            seen.append(browser.see("ready"))
            seen.append(names_in_memory())
        finally:
            _thread.interrupt_main()

    person = threading.Thread(target=somebody)
    person.start()
    status = program.main(
        command_line(tmp_path, "--activate", "AAAA-BBBB-CCCC", "--kiosk", str(port)),
        transport=network(hospital, Room()),
    )
    person.join()

    done, ready, remembered = seen
    printed = "".join(capfd.readouterr())
    assert status == 0
    assert (done["masked_name"], done["number"]) == ("张*", "P0000001")
    assert "P0000001" not in str(ready)
    assert f"http://127.0.0.1:{port}/" in printed
    assert "张" not in printed
    assert "P0000001" not in printed
    assert "GET" not in printed
    assert remembered == []


def command_line(state, *more):
    there = ["--server", "https://hospital", "--sdk", "simulated:http://room"]
    return [*there, "--state", str(state), *more]


def is_open(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_whoever_presses_at_a_simulated_camera_is_somebody_new(tmp_path):
    faces = program._people(parse(command_line(tmp_path, "--kiosk", "0")))
    chosen = program._people(parse(command_line(tmp_path, "--kiosk", "0", "--person", "minor")))

    new = [next(faces) for _ in range(200)]
    assert all(one.id.startswith("stranger-") for one in new)
    assert len({one.id for one in new}) > 190
    assert {next(chosen).id for _ in range(3)} == {"minor"}


def test_a_screen_for_one_visit_only_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        program.main(["--server", "https://h", "--state", str(tmp_path), "--kiosk", "0", "--once"])

    assert "--once" in capsys.readouterr().err


def test_a_taken_port_ends_the_program_with_a_sentence(tmp_path, capsys):
    with serving(Board(), port=0) as server:
        status = program.main(
            ["--server", "https://h", "--state", str(tmp_path), "--kiosk", str(server.server_port)]
        )

    assert status == 2
    assert "端口" in capsys.readouterr().err


def test_a_program_that_ends_hangs_up():
    board = Board()
    with opened(board) as browser, browser.stream() as stream:
        stream.readline()
        kept = http.client.HTTPConnection("127.0.0.1", browser.server.server_port, timeout=SOON)
        kept.request("GET", "/", headers={"Host": browser.host})
        kept.getresponse().read()
        browser.server.hang_up()

        with pytest.raises(ConnectionError):
            kept.request("GET", "/", headers={"Host": browser.host})
            kept.getresponse()
        assert b"P0000001" not in stream.read()
    kept.close()


# Taken back


@pytest.mark.parametrize("ends", ["onboarded", "recognised"])
def test_who_was_registered_takes_it_back_on_the_same_screen(ends):
    hospital, board = Hospital(ends=ends), Board()
    terminal = terminal_with(board, hospital)
    with opened(board) as browser:
        with at_work(board.arrive):
            browser.see("ready")
            browser.press("start")
        with at_work(lambda: attempt(terminal, board, say=print)):
            browser.see("notice")
            browser.press("answer", granted=True, purposes=["register"])
            done = browser.see("done")
        with at_work(board.arrive):
            pressed = browser.press("withdraw")
            ended = browser.see("ended")
            again = browser.press("withdraw")
            browser.press("dismiss")
            ready = browser.see("ready")
            board.close()

    assert done["may_take_back"]
    assert (pressed, again) == (204, 409)
    assert ended["words"]["title"] == "已撤回同意"
    assert ended["words"]["advice"] == "人工窗口"
    assert "P0000001" not in str(ended) + str(ready)
    assert hospital.bodies(f"face-sessions/{SESSION}/withdrawal/") == [{}]


def test_who_could_not_take_it_back_is_told_so_and_where():
    hospital, board = Hospital(), Board()
    terminal = terminal_with(board, hospital)
    turn = arrived(board)
    board.end("onboarded", number="P0000001", take_back=lambda: terminal.take_back(SESSION))
    hospital.weather = [problem(409, "wrong_state")]

    board.withdraw(turn)
    assert step_of(board) == "wait"
    with at_work(board.arrive):
        until(lambda: step_of(board) == "ended")
        told = shown(board)
        board.close()

    assert told["words"]["title"] == "没有撤回成功"
    assert "人工窗口" in told["words"]["advice"]


def test_a_terminal_that_was_suspended_meanwhile_sends_them_to_the_desk():
    board = Board()
    turn = arrived(board)
    board.end("onboarded", number="P0000001", take_back=lambda: "withdrawn")
    board.block("terminal_suspended")

    board.withdraw(turn)

    assert shown(board)["words"]["title"] == "没有撤回成功"


@pytest.mark.parametrize("how", ["dismiss", "later", "next"])
def test_nobody_takes_back_what_another_agreed_to(how):
    board = Board(linger=0.2 if how == "later" else 60)
    turn, asked = arrived(board), []
    board.end("onboarded", number="P0000001", take_back=lambda: asked.append(1) or "withdrawn")
    if how == "later":
        until(lambda: step_of(board) == "wait")
    else:
        board.dismiss(turn)
    if how == "next":
        arrived(board)

    with pytest.raises(NotNow):
        board.withdraw(turn)

    with at_work(board.arrive):
        until(lambda: step_of(board) == "ready")
        board.close()
    assert asked == []


@pytest.mark.parametrize("step", ["look", "confirm", "wait"])
def test_before_the_server_works_there_is_nothing_to_press(step):
    board = Board()
    turn = arrived(board)
    board.show(Step(step))

    with pytest.raises(NotNow):
        board.withdraw(turn)


@pytest.mark.parametrize("ends", ["authorized", "onboarded"])
def test_who_takes_it_back_while_it_works_is_not_waited_for(ends):
    class Pressed(Board):
        """Somebody presses as soon as it works."""

        def show(self, step):
            super().show(step)
            if step == Step.WORKING:
                self.withdraw(shown(self)["turn"])

    hospital, board = Hospital(ends=ends), Pressed()
    arrived(board)
    with at_work(lambda: attempt(terminal_with(board, hospital), board, say=print)) as done:
        until(lambda: step_of(board) == "notice")
        board.answer(shown(board)["turn"], granted=True, purposes=["register"])

    visit, _ = done[0]
    assert (visit.state, visit.patient, visit.session) == ("withdrawn", "", "")
    assert shown(board)["words"]["title"] == "已撤回同意"
    assert not shown(board)["may_take_back"]
    assert hospital.paths()[-1] == f"face-sessions/{SESSION}/withdrawal/"
