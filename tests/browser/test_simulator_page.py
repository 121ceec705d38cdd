"""The simulator's page in a real browser: it lives by itself, and data never becomes markup."""

import threading

import pytest

from faceauth.simulator import listen
from faceauth.simulator.journal import Journal
from tests.browser.desk import expect
from tests.faceauth.asking import NOW, Asking

NOBODY = "bbaf113f-4171-4332-9c79-dace6d35a917"
ROWS = "#requests tbody"


class Screen:
    """One browser before the page, what it shows, and all it complained about or asked for."""

    def __init__(self, chromium, server):
        self.server, self.complaints, self.asked = server, [], []
        self.context = chromium.new_context(locale="zh-CN", viewport={"width": 1366, "height": 768})
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self):
        self.page.goto(self.server)
        expect(self.page.locator("#link-state")).to_have_text("已连接，每秒刷新")

    def button(self, name):
        return self.page.get_by_role("button", name=name, exact=True)

    def scenario(self, label):
        return self.page.locator("#scenarios button", has_text=label).first

    def active(self):
        return self.page.locator("#active li")


@pytest.fixture
def wechat():
    return Asking()


@pytest.fixture
def screen(chromium, wechat):
    server = listen(wechat.simulator)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    screen = Screen(chromium, server.base_url)
    yield screen
    screen.context.close()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("width", [1366, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_is_refused_nothing(screen, wechat, width, scheme):
    screen.page.set_viewport_size({"width": width, "height": 768})
    screen.page.emulate_media(color_scheme=scheme)
    wechat.users(NOBODY, spoil=lambda message: message[:-1])
    wechat.simulator.expect("forged", endpoint="users")

    screen.open()
    screen.page.locator(f"{ROWS} button").first.click()

    expect(screen.page.locator("#people tbody tr").first).to_contain_text("zhangsan")
    assert screen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert screen.complaints == []
    assert [url for url in screen.asked if not url.startswith(screen.server)] == []


def test_the_page_says_what_it_is_and_whom_it_serves(screen, wechat):
    wechat.authinfo()

    screen.open()

    header = screen.page.locator("header")
    expect(header).to_contain_text("模拟器：仅供开发与演示，人员均为虚构")
    expect(header).to_contain_text("不要把真实的 face_sid")
    expect(header).to_contain_text(screen.server)
    expect(header).to_contain_text(wechat.world.mch_id)
    expect(header).to_contain_text(wechat.world.partner.mch_id)
    expect(screen.page.locator("#counts")).to_contain_text("取调用凭证 1")


def test_a_request_shows_by_itself_above_the_others(screen, wechat):
    wechat.certificates()
    screen.open()
    screen.page.evaluate("window.sameDocument = true")

    wechat.authinfo(device_id="T-9")

    expect(screen.page.locator(ROWS)).to_have_count(2)
    expect(screen.page.locator(ROWS).first).to_contain_text("T-9")
    expect(screen.page.locator("#news")).to_have_text("新请求：取调用凭证 200 通过")
    assert screen.page.evaluate("window.sameDocument")


def test_an_opened_request_shows_the_string_to_sign_and_stays_open(screen, wechat):
    wechat.users(NOBODY, spoil=lambda message: message.replace("\n\n", "\n"))
    screen.open()

    screen.page.locator(f"{ROWS} button").focus()
    screen.page.keyboard.press("Enter")
    wechat.certificates()
    expect(screen.page.locator(ROWS)).to_have_count(2)

    lines = screen.page.locator(".detail .lines li")
    expect(lines).to_have_count(5)
    expect(lines.nth(0)).to_have_text("GET⏎")
    expect(lines.nth(2)).to_have_text(f"{NOW}⏎")
    expect(lines.nth(4)).to_have_text("⏎")
    expect(screen.page.locator(".detail")).to_contain_text("签名错误：")
    expect(screen.page.locator(f"{ROWS} button[aria-expanded=true]")).to_be_focused()


def test_only_trouble_shows_if_one_asks_for_it(screen, wechat):
    wechat.certificates()
    wechat.users(NOBODY)
    screen.open()

    screen.page.get_by_label("只看未通过的").check()

    expect(screen.page.locator(f"{ROWS}:visible")).to_have_count(1)
    expect(screen.page.locator(f"{ROWS}:visible")).to_contain_text("404")


def test_a_scenario_is_begun_and_ended_with_the_keyboard(screen, wechat):
    screen.open()

    screen.scenario("伪造签名").focus()
    screen.page.keyboard.press("Enter")

    expect(screen.active()).to_have_text("伪造签名 查用户信息，还有 1 次清除")
    expect(screen.page.locator("#told")).to_have_text("已设定：伪造签名，查用户信息接下来 1 次")
    assert [spell.name for spell in wechat.simulator.weather.active()] == ["forged"]

    screen.button("清除伪造签名").focus()
    screen.page.keyboard.press("Enter")

    expect(screen.active()).to_have_count(0)
    expect(screen.page.locator("#no-active")).to_be_visible()
    assert wechat.simulator.weather.active() == []


def test_a_scenario_can_be_for_one_terminal_some_times_and_with_a_number(screen, wechat):
    wechat.authinfo(device_id="T-2")
    screen.open()

    screen.page.get_by_role("radio", name="取调用凭证").check()
    screen.page.get_by_label("几次").fill("5")
    screen.page.get_by_label("终端", exact=True).select_option("T-2")
    screen.page.locator("#scenarios li", has_text="应答迟缓").get_by_label("秒").fill("0")
    screen.scenario("应答迟缓").click()
    expect(screen.active()).to_have_count(1)
    wechat.authinfo(device_id="T-1")
    wechat.authinfo(device_id="T-2")

    expect(screen.active()).to_contain_text("仅 T-2，还有 4 次")
    (spell,) = wechat.simulator.weather.active()
    assert (spell.times, spell.device_id, spell.seconds) == (5, "T-2", 0.0)
    assert spell.endpoints == {"authinfo"}


def test_a_scenario_can_last_until_all_are_cleared(screen, wechat):
    screen.open()

    screen.page.get_by_label("直到清除").check()
    screen.scenario("伪造签名").click()
    expect(screen.active()).to_have_count(1)
    screen.scenario("没有签名").click()
    expect(screen.active()).to_have_count(2)
    expect(screen.active().first).to_contain_text("直到清除")
    screen.button("全部清除").click()

    expect(screen.active()).to_have_count(0)
    assert wechat.simulator.weather.active() == []


def test_every_endpoint_lists_its_own_scenarios(screen):
    screen.open()

    screen.page.get_by_role("radio", name="下载平台证书").check()

    expect(screen.scenario("证书列表为空")).to_be_visible()
    expect(screen.page.locator("#scenarios")).not_to_contain_text("密文损坏")


def test_a_simulator_that_is_gone_is_said_to_be_gone(screen):
    screen.open()

    screen.context.set_offline(True)
    expect(screen.page.locator("#link-state")).to_have_text("连接断开：模拟器没有应答，正在重试")
    screen.context.set_offline(False)

    expect(screen.page.locator("#link-state")).to_have_text("已连接，每秒刷新")


def test_another_run_of_the_simulator_begins_a_new_list(screen, wechat):
    wechat.certificates()
    screen.open()

    wechat.simulator.journal = Journal()
    wechat.authinfo()
    wechat.authinfo()

    expect(screen.page.locator(ROWS)).to_have_count(2)
    expect(screen.page.locator("#requests")).not_to_contain_text("下载平台证书")


@pytest.mark.parametrize("how", ["paused", "hidden"])
def test_nobody_looks_so_nothing_is_asked(screen, how):
    screen.page.clock.install()
    screen.open()

    if how == "paused":
        screen.button("暂停刷新").click()
    else:
        screen.page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
        screen.page.clock.run_for(1_500)
    expect(screen.page.locator("#link-state")).to_contain_text("已暂停")
    before = len(screen.asked)
    screen.page.clock.run_for(10_000)

    assert screen.asked[before:] == []


def test_data_never_becomes_markup(screen, wechat):
    device = "<img src=x>"
    wechat.authinfo(device_id=device)
    wechat.http.get("/<script>alert(1)</script>")
    wechat.simulator.expect("down", device_id=device)

    screen.open()
    for button in screen.page.locator(f"{ROWS} button").all():
        button.click()

    expect(screen.page.locator("#requests")).to_contain_text(device)
    expect(screen.active()).to_contain_text(device)
    assert screen.page.locator("main img, main script").count() == 0
    assert screen.complaints == []
