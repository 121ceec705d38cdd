"""The terminal's screen in a real browser: read by axe-core, walked with keys, and forgetful."""

import threading
from contextlib import contextmanager

import pytest

from devices.agent.api import Notice, Purpose
from devices.agent.kiosk import Board, serving, words
from devices.agent.people import Agreement, Left
from devices.agent.screen import Step
from tests.browser.desk import AXE, expect

SIZES = {"portrait": (1080, 1920), "landscape": (1366, 768)}
NOTICE = Notice(
    version=1,
    title="刷脸建档告知书",
    text="您的面部图像由微信支付采集和比对，我院不接收。\n\n您可以不同意，不影响就诊。" * 12,
    purposes=(
        Purpose("face", "通过微信刷脸核验我的身份", required=True),
        Purpose("onboarding", "用我的姓名和证件号码建立就诊档案", required=True),
        Purpose("remind", "<b>给我发送就诊提醒</b>", required=False),
    ),
    fallback="不刷脸也能就诊：请到人工窗口凭身份证件建档",
)
# Beyond axe-core's own choice: 7:1 contrast, and nothing too small for a thumb.
STRICT = {"color-contrast-enhanced": {"enabled": True}, "target-size": {"enabled": True}}
VOICES = """
  const spoken = (window.spoken = []);
  const voices = %s;
  Object.defineProperty(window, "speechSynthesis", { value: Object.assign(new EventTarget(), {
    speaking: false, getVoices: () => voices, cancel() {}, speak: (one) => spoken.push(one.text),
  })});
  window.SpeechSynthesisUtterance = class { constructor(text) { this.text = text; } };
"""
MINE = '[{ lang: "zh-CN", localService: true }]'
ASKED = 20  # seconds before the notice is forgotten in which the page asks, as it has it
ELSEWHERE = '[{ lang: "zh-CN", localService: false }, { lang: "en-US", localService: true }]'


class Lobby:
    """A terminal's program whose visits the test conducts, and the browser on its screen."""

    def __init__(self, chromium, board, server, size="landscape"):
        self.board, self.server = board, server
        self.complaints, self.asked, self.answers = [], [], []
        width, height = SIZES[size]
        self.context = chromium.new_context(
            locale="zh-CN", viewport={"width": width, "height": height}
        )
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.thread = None

    def open(self):
        self.page.goto(self.server.url)
        return self

    def receive(self, *, sees="ready"):
        """Let the agent wait for somebody, and show them the notice."""

        def work():
            if self.board.arrive():
                try:
                    self.answers.append(self.board.consent(NOTICE))
                    self.board.show(Step.WAIT)
                except Left:
                    self.answers.append(None)
                    self.board.end("left")

        self.join()
        self.thread = threading.Thread(target=work)
        self.thread.start()
        self.sees(sees)

    def join(self):
        if self.thread:
            self.thread.join()
            self.thread = None

    def sees(self, step):
        section = self.page.locator(f'section[data-step="{step}"]')
        expect(section).to_be_visible()
        expect(self.page.locator("main section:visible")).to_have_count(1)
        expect(section.locator("h1")).to_be_focused()
        return section

    def reads_notice(self):
        self.receive()
        self.page.locator("#start").click()
        return self.sees("notice")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def violations(self):
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("rules => axe.run(document, { rules })", STRICT)
        return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]

    def close(self):
        self.board.close()
        self.join()
        self.context.close()


@contextmanager
def lobby_of(chromium, size="landscape", **times):
    board = Board(**times)
    with serving(board, port=0) as server:
        lobby = Lobby(chromium, board, server, size)
        try:
            yield lobby
        finally:
            lobby.close()


@pytest.fixture
def lobby(chromium):
    with lobby_of(chromium) as lobby:
        yield lobby


def title(state, code=""):
    return words.ending(state, code=code, detail="", fallback="").title


def taken_back():
    return "withdrawn"


def screens(lobby, *, is_large):
    """Walk through every screen there is; yield the name of each while it is shown."""
    board = lobby.board
    lobby.sees("wait")
    if is_large:
        lobby.page.locator("#large").click()
    yield "wait"
    lobby.receive()
    yield "ready"
    lobby.page.locator("#start").click()
    lobby.sees("notice")
    yield "notice"
    lobby.page.locator("#agree").click()
    expect(lobby.page.locator("#missing")).not_to_be_empty()
    yield "notice, something missing"
    lobby.page.evaluate("document.getElementById('still').showModal()")
    yield "notice, nobody there?"
    lobby.page.evaluate("document.getElementById('still').close()")
    lobby.page.locator("#refuse").click()
    lobby.join()
    for step in ("look", "confirm", "working", "seeking"):
        board.show(Step(step))
        lobby.sees(step)
        yield step
    for state in ("onboarded", "recognised"):
        board.end(state, number="P0000001", masked_name="张*三", take_back=taken_back)
        expect(lobby.page.locator("#done-title")).to_have_text(title(state))
        lobby.sees("done")
        yield state
    for state, code in [
        ("refused", ""),
        ("declined", ""),
        ("guardian_required", ""),
        ("failed", "authorization_failed"),
        ("interrupted", "unreachable"),
        ("interrupted", "terminal_suspended"),
        ("authorized", ""),
        ("withdrawn", ""),
        ("not_withdrawn", ""),
    ]:
        board.end(state, code=code, take_back=taken_back if state == "authorized" else None)
        expect(lobby.page.locator("#ended-title")).to_have_text(title(state, code))
        lobby.sees("ended")
        yield f"{state} {code}"
    board.block("terminal_suspended", "镜头维修，预计下午两点恢复")
    board.dismiss(board._view.turn)
    lobby.sees("closed")
    yield "closed"
    board.close()
    lobby.sees("gone")
    yield "gone"


@pytest.mark.skipif(not AXE.exists(), reason="needs npm --prefix tests/browser ci")
@pytest.mark.parametrize("is_large", [False, True], ids=["plain", "large"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing_on_any_screen(chromium, size, is_large):
    seen, found = [], {}
    with lobby_of(chromium, size) as lobby:
        lobby.open()

        for name in screens(lobby, is_large=is_large):
            seen.append(name)
            if violations := lobby.violations():
                found[name] = violations

    assert found == {}
    assert len(seen) == 22


@pytest.mark.parametrize("is_large", [False, True], ids=["plain", "large"])
@pytest.mark.parametrize("size", SIZES)
def test_everything_fits_and_nothing_is_refused_or_fetched(chromium, size, is_large):
    width, height = SIZES[size]
    with lobby_of(chromium, size) as lobby:
        lobby.open()

        for name in screens(lobby, is_large=is_large):
            if name == "gone":
                break
            assert lobby.page.evaluate("document.documentElement.scrollWidth") <= width, name
            for button in lobby.page.locator("main button:visible").all():
                box = button.bounding_box()
                assert box["height"] >= 72, name
                assert box["y"] + box["height"] <= height or is_large, name

        assert lobby.complaints == []
        assert [url for url in lobby.asked if not url.startswith(lobby.server.url)] == []
        assert {url.removeprefix(lobby.server.url).count("?") for url in lobby.asked} == {0}


def test_the_two_answers_are_equally_prominent(lobby):
    lobby.open().reads_notice()

    yes, no = (lobby.page.locator(f"#{name}") for name in ("agree", "refuse"))

    box, other = yes.bounding_box(), no.bounding_box()
    assert (round(box["width"]), round(box["height"])) == (
        round(other["width"]),
        round(other["height"]),
    )
    assert box["y"] == other["y"]
    for style in ("fontSize", "fontWeight", "color"):
        assert len({one.evaluate(f"it => getComputedStyle(it).{style}") for one in (yes, no)}) == 1
    expect(no).to_have_text("不刷脸，人工/身份证建档")


def test_nothing_is_ticked_in_advance_and_each_purpose_is_apart(lobby):
    lobby.open().reads_notice()

    boxes = lobby.page.get_by_role("checkbox")
    expect(boxes).to_have_count(3)
    assert [box.is_checked() for box in boxes.all()] == [False, False, False]
    boxes.first.check()

    assert [box.is_checked() for box in boxes.all()] == [True, False, False]
    expect(
        lobby.page.get_by_role("checkbox", name="<b>给我发送就诊提醒</b> 可不选")
    ).to_be_visible()


def test_a_whole_visit_is_walked_by_keys_alone(lobby):
    lobby.open().receive()

    lobby.press("Tab", "Enter")
    lobby.sees("notice")
    lobby.press("Tab")  # the text, to be scrolled by the arrows
    expect(lobby.page.locator("#text")).to_be_focused()
    lobby.press("Tab", "Space", "Tab", "Space", "Tab", "Tab", "Enter")
    lobby.join()
    lobby.sees("wait")
    lobby.board.end("onboarded", number="P0000001", masked_name="张*三")
    lobby.sees("done")
    lobby.press("Tab", "Enter")

    lobby.sees("wait")
    assert lobby.answers == [Agreement(frozenset(["face", "onboarding"]))]


def test_agreeing_is_taken_back_by_one_press(lobby):
    lobby.open().receive()
    lobby.page.locator("#start").click()
    lobby.sees("notice")
    lobby.page.locator("#refuse").click()
    lobby.join()
    lobby.board.end("onboarded", number="P0000001", masked_name="张*三", take_back=taken_back)
    done = lobby.sees("done")

    done.get_by_role("button", name="撤回同意").click()
    lobby.sees("wait")
    assert "P0000001" not in lobby.page.content()
    lobby.receive(sees="ended")
    expect(lobby.page.locator("#ended-title")).to_have_text("已撤回同意")
    expect(lobby.page.get_by_role("button", name="撤回同意")).to_be_hidden()


def test_enter_on_a_tick_box_agrees_to_nothing(lobby):
    lobby.open().reads_notice()
    boxes = lobby.page.get_by_role("checkbox")
    boxes.nth(0).check()
    boxes.nth(1).check()

    lobby.press("Enter")
    lobby.page.locator("#refuse").click()

    lobby.join()
    assert lobby.answers == [False]


def test_a_no_by_keys_needs_no_ticks(lobby):
    lobby.open().reads_notice()

    lobby.page.locator("#refuse").focus()
    lobby.press("Enter")

    lobby.join()
    assert lobby.answers == [False]


def test_what_is_missing_is_named_and_focused(lobby):
    lobby.open().reads_notice()
    boxes = lobby.page.get_by_role("checkbox")
    boxes.nth(0).check()

    lobby.page.locator("#agree").click()

    expect(lobby.page.get_by_role("alert")).to_contain_text("还有 1 个必选项没有勾选")
    expect(boxes.nth(1)).to_be_focused()
    expect(boxes.nth(1)).to_have_attribute("aria-invalid", "true")
    assert lobby.answers == []


def test_the_ticks_of_one_are_not_there_for_the_next(lobby):
    lobby.open().reads_notice()
    for box in lobby.page.get_by_role("checkbox").all():
        box.check()
    lobby.page.locator("#refuse").click()
    lobby.join()
    lobby.board.end("refused")
    lobby.sees("ended").get_by_role("button", name="返回首页").click()

    lobby.reads_notice()

    boxes = lobby.page.get_by_role("checkbox").all()
    assert [box.is_checked() for box in boxes] == [False, False, False]


def test_who_goes_away_is_asked_and_then_forgotten(chromium):
    with lobby_of(chromium, patience=8) as lobby:  # seconds in which to see that it asks
        lobby.open().receive()
        lobby.page.locator("#start").click()

        dialog = lobby.page.get_by_role("alertdialog")
        expect(dialog).to_contain_text("您还在吗")
        lobby.join()

        lobby.sees("wait")
        expect(dialog).not_to_be_visible()
        assert lobby.answers == [None]
        assert lobby.page.locator("#purposes input").count() == 0


def test_who_is_still_there_says_so(chromium):
    with lobby_of(chromium, patience=ASKED + 5) as lobby:
        lobby.open().reads_notice()
        expect(lobby.page.get_by_role("alertdialog")).to_be_visible()
        before = lobby.board._deadline

        lobby.page.get_by_role("button", name="我还在").click()

        expect(lobby.page.get_by_role("alertdialog")).not_to_be_visible()
        assert lobby.board._deadline > before


def test_more_time_leaves_the_ticks_where_they_are(chromium):
    with lobby_of(chromium, patience=ASKED + 5) as lobby:
        lobby.open().receive()
        lobby.page.locator("#start").click()
        stay = lobby.page.get_by_role("button", name="我还在")
        stay.click()
        expect(stay).not_to_be_visible()
        box = lobby.page.get_by_role("checkbox").first
        box.check()
        expect(stay).to_be_visible()

        stay.click()

        expect(stay).not_to_be_visible()
        expect(box).to_be_checked()
        expect(box).to_be_focused()


def test_a_name_leaves_the_screen_by_itself(chromium):
    with lobby_of(chromium, linger=8) as lobby:  # seconds in which to see that it is there
        lobby.open()
        lobby.board.end("onboarded", number="P0000001", masked_name="张*三")
        section = lobby.sees("done")
        expect(section).to_contain_text("张*三")
        expect(lobby.page.get_by_role("status")).to_contain_text("P0000001")

        lobby.sees("wait")

        assert "张" not in lobby.page.content()
        assert "P0000001" not in lobby.page.content()


def test_a_name_leaves_the_screen_even_if_the_program_hangs(lobby):
    lobby.page.clock.install()
    lobby.open()
    lobby.board.end("onboarded", number="P0000001", masked_name="张*三")
    lobby.sees("done")

    lobby.page.clock.run_for(65_000)

    lobby.sees("wait")
    assert "P0000001" not in lobby.page.content()


def test_a_program_that_is_gone_is_told_and_found_again(chromium):
    first, again = Board(), Board()
    with serving(first, port=0) as server:
        lobby = Lobby(chromium, first, server).open()
        first.end("onboarded", number="P0000001", masked_name="张*三")
        lobby.sees("done")

    lobby.sees("gone")
    assert "P0000001" not in lobby.page.content()
    with serving(again, port=server.server_port):
        lobby.board = again
        again.show(Step.LOOK)
        lobby.sees("look")
        lobby.close()


def test_a_suspension_is_read_on_the_screen_and_ends_by_itself(lobby):
    lobby.open()
    lobby.receive()
    lobby.board.block("terminal_suspended", "镜头维修，预计下午两点恢复")

    section = lobby.sees("closed")
    expect(section).to_contain_text("镜头维修，预计下午两点恢复")
    expect(section.get_by_role("button")).to_have_count(0)
    lobby.board.block("")

    lobby.sees("ready")


def test_large_type_is_larger_and_is_not_left_to_the_next(lobby):
    lobby.page.clock.install()
    lobby.open().receive()
    title = lobby.page.locator("#ready-title")
    size = "it => parseFloat(getComputedStyle(it).fontSize)"
    plain = title.evaluate(size)

    lobby.page.get_by_role("button", name="大字").click()
    large = title.evaluate(size)
    lobby.page.clock.run_for(62_000)

    assert large >= 1.25 * plain
    expect(lobby.page.get_by_role("button", name="大字")).to_have_attribute("aria-pressed", "false")
    assert title.evaluate(size) == plain


def test_it_is_read_aloud_on_demand_and_without_names(lobby):
    lobby.page.add_init_script(VOICES % MINE)
    lobby.open().receive()
    assert lobby.page.evaluate("spoken") == []

    lobby.page.get_by_role("button", name="朗读").click()
    lobby.board.end("onboarded", number="P0000001", masked_name="张*三")
    lobby.sees("done")

    first, last = lobby.page.evaluate("spoken")
    assert first.startswith("刷脸建档")
    assert last.startswith("建档成功")
    assert "P0000001" not in last
    assert "张" not in last
    assert "秒" not in last  # what changes while it is read


def test_a_voice_made_elsewhere_is_not_used(lobby):
    lobby.page.add_init_script(VOICES % ELSEWHERE)

    lobby.open().receive()

    expect(lobby.page.locator("#voice")).not_to_be_visible()
