"""The admin in a real browser: nothing refused by the policy, nothing fetched from elsewhere."""

import shutil
from urllib.parse import urljoin, urlsplit

import pytest
from django.contrib.sessions.models import Session
from django.urls import reverse

from faceauth.models import Merchant
from tests import signing_in
from tests.conftest import PASSWORD

playwright = pytest.importorskip(
    "playwright.sync_api", reason="browser tests need requirements-browser.txt"
)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="browser tests need chromium on the PATH"),
]

QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
SESSIONS = "admin:faceauth_facesession_changelist"
ONE_VISIT = "#result_list tbody tr"


@pytest.fixture(scope="module")
def chromium():
    with pytest.MonkeyPatch.context() as patch, playwright.sync_playwright() as driver:
        # Playwright keeps an event loop in this thread, where Django would refuse to work.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Desk:
    """One member of staff before one browser, and all it complained about or asked for."""

    def __init__(self, chromium, server):
        self.server, self.complaints, self.asked = server, [], []
        self.context = chromium.new_context(locale="zh-CN", viewport={"width": 1366, "height": 768})
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _heard(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def open(self, address):
        return self.page.goto(urljoin(self.server, address))

    def sit_down(self, person):
        signing_in.at_the_door(self.page, self.server, person, password=PASSWORD)
        playwright.expect(self.page.locator("#user-tools")).to_contain_text(person.display_name)

    def links(self):
        """Return the admin's own pages linked from here, each list in one order only."""
        found = self.page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
        here = urlsplit(self.server).netloc
        parts = [urlsplit(link) for link in found]
        return {part.path for part in parts if part.netloc == here}


@pytest.fixture
def desk(chromium, live_server):
    desk = Desk(chromium, live_server.url)
    yield desk
    desk.context.close()


@pytest.fixture
def empty_lobby(kiosk, notice):
    Merchant.objects.create(appid="wx1", mch_id="1900000001", merchant_serial="A1")
    return kiosk


@pytest.fixture
def lobby(empty_lobby):
    """One visit has begun."""
    empty_lobby.agree()
    return empty_lobby


@pytest.mark.parametrize("name", ["lin", "mei", "zhou", "chen", "gu"])
def test_no_page_is_refused_anything_or_asks_elsewhere(request, desk, lobby, name):
    desk.sit_down(request.getfixturevalue(name))

    seen, ahead = set(), {reverse("admin:index")}
    while ahead and len(seen) < 60:
        address = ahead.pop()
        assert desk.open(address).status == 200, address
        seen.add(address)
        ahead |= desk.links() - seen

    assert len(seen) > 3
    assert desk.complaints == []
    assert [url for url in desk.asked if not url.startswith((desk.server, "data:"))] == []


def test_a_new_visit_shows_without_reloading(desk, lobby, chen):
    desk.sit_down(chen)
    desk.open(reverse(SESSIONS))
    desk.page.evaluate("window.sameDocument = true")
    pause(desk)

    lobby.agree()
    desk.page.get_by_role("button", name="继续刷新").click()

    playwright.expect(desk.page.locator(ONE_VISIT)).to_have_count(2)
    playwright.expect(desk.page.locator(f"{ONE_VISIT}.is-new")).to_have_count(1)
    playwright.expect(desk.page.get_by_role("status")).to_have_text("新增 1 个会话")
    assert desk.page.evaluate("window.sameDocument")
    assert desk.complaints == []


def test_an_empty_list_fills_without_reloading(desk, empty_lobby, chen):
    desk.sit_down(chen)
    desk.open(reverse(SESSIONS))
    playwright.expect(desk.page.locator(".empty")).to_be_visible()
    pause(desk)

    empty_lobby.agree()
    desk.page.get_by_role("button", name="继续刷新").click()

    playwright.expect(desk.page.locator(ONE_VISIT)).to_have_count(1)
    playwright.expect(desk.page.locator(".empty")).to_have_count(0)


def test_the_list_refreshes_by_itself(desk, lobby, chen):
    desk.sit_down(chen)
    desk.open(reverse(SESSIONS))

    desk.page.wait_for_timeout(3500)

    playwright.expect(desk.page.locator(".live-state")).to_contain_text("自动刷新，最近")


def test_the_list_holds_still_while_somebody_chooses(desk, lobby, chen):
    desk.sit_down(chen)
    desk.open(reverse(SESSIONS))
    desk.page.locator("#changelist-filter summary").click()
    playwright.expect(desk.page.locator(".live-state")).to_have_text("正在操作，暂停刷新")
    before = len(desk.asked)

    desk.page.wait_for_timeout(4000)

    assert desk.asked[before:] == []


def test_escape_closes_a_filter(desk, lobby, chen):
    desk.sit_down(chen)
    desk.open(reverse(SESSIONS))
    menu = desk.page.locator(".filter-menu")
    desk.page.locator("#changelist-filter summary").click()
    playwright.expect(menu).to_be_visible()

    desk.page.keyboard.press("Escape")

    playwright.expect(menu).to_be_hidden()


def test_a_login_that_ended_clears_the_screen(desk, lobby, chen):
    desk.sit_down(chen)
    desk.open(reverse(SESSIONS))
    pause(desk)

    Session.objects.all().delete()
    desk.page.get_by_role("button", name="继续刷新").click()

    playwright.expect(desk.page.locator("#login-form")).to_be_visible()
    playwright.expect(desk.page.locator("#result_list")).to_have_count(0)


def pause(desk):
    """Stop the refresh, so that the test and the server are not in the database at once."""
    desk.page.get_by_role("button", name="暂停刷新").click()
    playwright.expect(desk.page.locator(".live-state")).to_have_text("已暂停")
    desk.page.wait_for_load_state("networkidle")
