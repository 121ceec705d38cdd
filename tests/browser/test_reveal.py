"""Finding, revealing and printing in a real browser: whole, keyed, and soon forgotten again."""

import os
import shutil
from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital import policy, stepup
from hospital.accounts.models import PolicyChoice
from hospital.audit.models import Event
from hospital.patients import enrolment
from hospital.patients.models import Likeness

playwright = pytest.importorskip(
    "playwright.sync_api", reason="browser tests need requirements-browser.txt"
)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="browser tests need chromium on the PATH"),
]

expect = playwright.expect
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
STRICT = {"target-size": {"enabled": True}}  # beyond axe-core's own choice
DESK, HAND = (1366, 768), (390, 844)
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
INCH = 25.4  # millimetres
NAME, NUMBER = "欧阳小英", "11010119900307002X"
PICTURES = os.environ.get("PICTURES", "")  # a directory, to look at them


@pytest.fixture(scope="module")
def chromium():
    with pytest.MonkeyPatch.context() as patch, playwright.sync_playwright() as driver:
        # Playwright keeps an event loop in this thread, where Django would refuse to work.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Desk:
    """A registrar before one browser, and all it complained about or asked for."""

    def __init__(self, chromium, server, size, scheme):
        self.server, self.complaints, self.asked, self.client = server, [], [], Client()
        width, height = size
        self.context = chromium.new_context(
            locale="zh-CN", viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _heard(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def sit_down(self, person, *, is_fresh=True):
        """Come in as somebody whose second factor was asked for a moment ago, or not lately."""
        self.client.force_login(person)
        session = self.client.session
        if is_fresh:
            stepup.stamp(session, at=timezone.now())
            session.save()
        cookie = self.client.cookies[settings.SESSION_COOKIE_NAME].value
        self.context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": self.server}]
        )

    def open(self, address):
        return self.page.goto(urljoin(self.server, address))

    def find(self, text):
        self.open(reverse("desk:find"))
        playwright.expect(self.page.locator("#find-box")).to_be_focused()
        self.page.keyboard.type(f"{text}\n")
        self.page.locator("#results, #find-refusal").wait_for()

    def choose(self, purpose="核对身份"):
        self.page.get_by_label("查看明文的用途").select_option(label=purpose)

    def violations(self):
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("rules => axe.run(document, { rules })", STRICT)
        return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]

    def check(self, name):
        """The page is whole, axe-core finds nothing, and nothing was refused or asked elsewhere."""
        if PICTURES:
            self.page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)
        assert self.complaints == [], name
        assert self.violations() == [], name
        self.complaints.clear()  # axe tries styles that the policy refuses
        assert self.page.evaluate(WIDER) <= 0, name
        assert [url for url in self.asked if not url.startswith((self.server, "data:"))] == []


@pytest.fixture
def seat(chromium, live_server):
    desks = []

    def sit(person, size=DESK, scheme="light", *, is_fresh=True):
        desk = Desk(chromium, live_server.url, size, scheme)
        desks.append(desk)
        desk.sit_down(person, is_fresh=is_fresh)
        return desk

    yield sit
    for desk in desks:
        desk.context.close()


@pytest.fixture(autouse=True)
def policy_forgotten():
    policy.forget()
    yield
    policy.forget()


@pytest.fixture
def patient(db):
    now = timezone.now()
    known = enrolment.Person(NAME, 1, NUMBER)
    patient, _ = enrolment.enrol(known, accounts={"wx1": "o-1"}, campus="main", at=now)
    twin, _ = enrolment.enrol(
        enrolment.Person(NAME, 2, "E12345678"), accounts={}, campus="main", at=now
    )
    first, second = sorted([patient, twin], key=lambda one: one.pk)
    Likeness.objects.create(kind="exact", first=first, second=second, found_at=now)
    enrolment.enrol(enrolment.Person("李四", 2, "E87654321"), accounts={}, campus="east", at=now)
    return patient


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, HAND], ids=["desk", "hand"])
def test_every_page_is_whole_and_axe_finds_nothing(seat, chen, patient, size, scheme):
    desk = seat(chen, size, scheme)
    label = f"{size[0]}-{scheme}"

    desk.open(reverse("desk:find"))
    desk.check(f"find-{label}")
    for name, text in {
        "found": NUMBER,
        "elsewhere": "E87654321",
        "nobody": "110101199003070021",
        "unclear": "张三",
    }.items():
        desk.find(text)
        desk.check(f"find-{name}-{label}")
    desk.open(reverse("desk:patient", args=[patient.pk]))
    desk.check(f"patient-{label}")
    desk.choose()
    for what in ("姓名", "证件号码", "出生日期"):
        desk.page.get_by_role("button", name=f"查看{what}").click()
        desk.page.get_by_role("button", name="隐藏").last.wait_for()
    desk.check(f"revealed-{label}")
    for paper in ("receipt", "a4"):
        desk.open(f"{reverse('desk:slip', args=[patient.pk])}?paper={paper}")
        desk.check(f"slip-{paper}-{label}")
        desk.open(f"{reverse('desk:test-page')}?paper={paper}")
        desk.check(f"test-{paper}-{label}")


def test_a_scan_and_two_keys_open_a_patient(seat, chen, patient):
    desk = seat(chen)

    desk.find(NUMBER.lower())
    desk.page.keyboard.press("Enter")

    expect(desk.page.get_by_role("heading", level=1)).to_contain_text(patient.number)
    assert not [url for url in desk.asked if NUMBER[:6] in url]


@pytest.mark.parametrize("first", [NUMBER, "E11111111", "110101199003070021", "张三"])
def test_the_next_scan_takes_the_place_of_the_last_wherever_the_focus_is(
    seat, chen, patient, first
):
    desk = seat(chen)
    desk.find(first)

    desk.page.keyboard.type("E00000000\n")

    expect(desk.page.get_by_role("heading", name="没有找到")).to_be_visible()
    expect(desk.page.locator("#find-box")).to_have_value("E00000000")


def test_a_value_is_shown_under_a_watermark_and_hidden_by_itself(seat, chen, patient):
    PolicyChoice.objects.create(key="REVEAL_SECONDS", value=5, set_at=timezone.now())
    desk = seat(chen)
    desk.open(reverse("desk:patient", args=[patient.pk]))
    assert NAME not in desk.page.content()
    desk.choose()

    desk.page.get_by_role("button", name="查看姓名").click()

    expect(desk.page.locator(".revealed")).to_contain_text(NAME)
    expect(desk.page.locator(".watermark")).to_contain_text("chen 20")
    expect(desk.page.get_by_role("button", name="隐藏（4 秒）")).to_be_visible()
    expect(desk.page.locator(".revealed")).to_have_count(0, timeout=6000)
    assert NAME not in desk.page.content()
    assert desk.complaints == []


@pytest.mark.parametrize(
    "leaving",
    [
        "window.dispatchEvent(new Event('blur'))",
        "window.dispatchEvent(new Event('beforeprint'))",
        "document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))",
        "window.dispatchEvent(new PageTransitionEvent('pagehide'))",
        """
        Object.defineProperty(document, 'hidden', { value: true });
        document.dispatchEvent(new Event('visibilitychange'));
        """,
    ],
    ids=["blur", "print", "escape", "leave", "hidden"],
)
def test_a_value_is_hidden_as_soon_as_nobody_looks(seat, chen, patient, leaving):
    desk = seat(chen)
    desk.open(reverse("desk:patient", args=[patient.pk]))
    desk.choose()
    desk.page.get_by_role("button", name="查看证件号码").click()
    expect(desk.page.locator(".revealed")).to_contain_text(NUMBER)

    desk.page.evaluate(leaving)

    expect(desk.page.locator(".revealed")).to_have_count(0)
    assert NUMBER not in desk.page.content()


def test_going_back_shows_nothing_of_it(seat, chen, patient):
    desk = seat(chen)
    desk.open(reverse("desk:patient", args=[patient.pk]))
    desk.choose()
    desk.page.get_by_role("button", name="查看姓名").click()
    expect(desk.page.locator(".revealed")).to_be_visible()

    desk.open(reverse("desk:find"))
    desk.page.go_back()

    expect(desk.page.get_by_role("button", name="查看姓名")).to_be_visible()
    assert NAME not in desk.page.content()


def test_without_a_purpose_nothing_is_asked(seat, chen, patient):
    desk = seat(chen)
    desk.open(reverse("desk:patient", args=[patient.pk]))

    desk.page.get_by_role("button", name="查看姓名").click()

    expect(desk.page.locator("#reveal-purpose:invalid")).to_be_focused()
    assert not Event.objects.filter(action="patient.reveal").exists()


def test_who_was_not_asked_lately_is_led_to_where_they_are(seat, chen, patient):
    desk = seat(chen, is_fresh=False)
    page = reverse("desk:patient", args=[patient.pk])
    desk.open(page)
    desk.choose()

    desk.page.get_by_role("button", name="查看姓名").click()
    desk.page.wait_for_url(lambda url: reverse("step-up") in url)

    assert page in desk.page.url.replace("%2F", "/")
    assert NAME not in desk.page.content()


def test_at_the_quota_the_page_says_why_it_stops(seat, chen, patient):
    PolicyChoice.objects.create(key="REVEAL_STOP_HOUR", value=1, set_at=timezone.now())
    PolicyChoice.objects.create(key="REVEAL_WARN_HOUR", value=1, set_at=timezone.now())
    desk = seat(chen)
    desk.open(reverse("desk:patient", args=[patient.pk]))
    desk.choose()
    said = desk.page.get_by_role("alert")

    desk.page.get_by_role("button", name="查看姓名").click()
    expect(said).to_contain_text("请确认均为工作所需")
    desk.page.get_by_role("button", name="查看证件号码").click()

    expect(said).to_contain_text("一小时内查看明文已达上限")
    assert NUMBER not in desk.page.content()


def test_p_prints_and_a_scanned_p_does_not(seat, chen, patient):
    desk = seat(chen)
    desk.context.add_init_script("window.printed = 0; window.print = () => (window.printed += 1)")
    page = reverse("desk:patient", args=[patient.pk])
    desk.open(page)

    desk.page.keyboard.type(patient.number, delay=5)
    desk.page.wait_for_timeout(400)
    stayed = desk.page.url.endswith(page)
    desk.page.keyboard.press("p")
    desk.page.wait_for_url(lambda url: "/slip/" in url)

    assert stayed
    desk.page.wait_for_load_state("load")
    assert desk.page.evaluate("printed") == 1
    desk.page.keyboard.press("p")
    desk.page.wait_for_timeout(400)
    assert desk.page.evaluate("printed") == 2


@pytest.mark.parametrize("page", ["slip", "test-page"])
@pytest.mark.parametrize(("paper", "millimetres"), [("receipt", (80, 120)), ("a4", (210, 297))])
def test_what_is_printed_is_one_sheet_of_its_paper(  # noqa: PLR0917
    seat, chen, patient, page, paper, millimetres
):
    desk = seat(chen)
    address = reverse(f"desk:{page}", args=[patient.pk] if page == "slip" else [])
    desk.open(f"{address}?paper={paper}")

    sheet = desk.page.pdf(prefer_css_page_size=True)

    if PICTURES:
        desk.page.emulate_media(media="print")
        desk.page.screenshot(path=f"{PICTURES}/printed-{page}-{paper}.png", full_page=True)
    assert sheet.count(b"/Type /Page\n") == 1
    width, height = sheet.split(b"/MediaBox [")[1].split(b"]")[0].split()[2:]
    assert (round(float(width) * INCH / 72), round(float(height) * INCH / 72)) == millimetres
