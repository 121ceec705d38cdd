"""The auditor's pages in a real browser: read by axe-core, walked with keys, whole when narrow."""

import shutil
from datetime import timedelta
from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from hospital.audit import analysis
from hospital.audit.actions import Action
from hospital.audit.detection import Occasion, detect
from hospital.audit.findings import Finding
from hospital.audit.recording import record
from tests import signing_in
from tests.conftest import PASSWORD
from tests.hospital.notarised import House

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
# What is cut off, or needs a scroll bar of its own.
CUT = """() => {
  const whole = ["SELECT", "INPUT", "PRE", "TEXTAREA"];
  const isCut = (one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1
    && getComputedStyle(one).overflowX !== "visible" && !whole.includes(one.tagName)
    && !one.classList.contains("visually-hidden");
  const all = [...document.querySelectorAll("#content *, #pages *, #header *")];
  return all.filter(isCut).map((one) => one.outerHTML.slice(0, 200));
}"""


@pytest.fixture(scope="module")
def chromium():
    with pytest.MonkeyPatch.context() as patch, playwright.sync_playwright() as driver:
        # Playwright keeps an event loop in this thread, where Django would refuse to work.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def house(tmp_path, settings):
    house = House(tmp_path, now=timezone.now())
    settings.TRAIL_VERIFIERS = [str(one) for one in house.verifiers]
    return house


@pytest.fixture
def trail(house, lin, chen):
    """A day of a small house: sealed, cosigned, with a finding and a week to read."""
    week_ago = house.now - timedelta(days=7)
    with transaction.atomic():
        for n in range(60):
            record(Action.SESSION_EXPIRE, by=lin, on=chen, at=house.now + timedelta(seconds=n))
            record(Action.LOGIN, by=lin, on=lin, at=week_ago)
        denied = {"route": "admin:audit_event_changelist", "suppressed": 0}
        record(Action.ACCESS_DENIED, by=chen, on=None, at=week_ago, outcome="denied", **denied)
    [sealed] = house.seal(witnessed=True)
    us = int(house.now.timestamp() * 1_000_000)
    occasion = Occasion(
        "access-denials",
        Finding.Severity.ALERT,
        first="1",
        about=str(chen.pk),
        count=5,
        facts={"actor_type": "staff", "actor_id": str(chen.pk), "since": us, "until": us},
    )
    finding = detect(occasion, at=house.now)
    today = timezone.localtime(house.now).date()
    monday = today - timedelta(days=today.weekday() + 7)
    review = analysis.make(monday, at=house.now)
    return {
        "home": reverse("admin:index"),
        "list": reverse("admin:audit_event_changelist"),
        "event": reverse("admin:audit_event_change", args=[sealed]),
        "standing": reverse("admin:audit_event_standing"),
        "findings": reverse("admin:audit_finding_changelist"),
        "finding": reverse("admin:audit_finding_change", args=[finding.pk]),
        "reviews": reverse("admin:audit_review_changelist"),
        "review": reverse("admin:audit_review_change", args=[review.pk]),
    }


class Desk:
    """The auditor before one browser, and all it complained about."""

    def __init__(self, chromium, server, size, scheme):
        self.server, self.complaints = server, []
        width, height = size
        self.context = chromium.new_context(
            locale="zh-CN", viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def open(self, address):
        return self.page.goto(urljoin(self.server, address))

    def sit_down(self, person):
        signing_in.at_the_door(self.page, self.server, person, password=PASSWORD)
        expect(self.page.locator("#user-tools")).to_contain_text(person.display_name)

    def violations(self):
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("rules => axe.run(document, { rules })", STRICT)
        return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]


@pytest.fixture
def seat(chromium, live_server, zhou):
    desks = []

    def sit(size=DESK, scheme="light"):
        desk = Desk(chromium, live_server.url, size, scheme)
        desks.append(desk)
        desk.sit_down(zhou)
        return desk

    yield sit
    for desk in desks:
        desk.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, HAND], ids=["desk", "hand"])
def test_every_page_is_whole_and_axe_finds_nothing(seat, trail, size, scheme):
    desk = seat(size, scheme)

    for name, address in trail.items():
        assert desk.open(address).status == 200, name
        assert desk.complaints == [], name
        assert desk.violations() == [], name
        desk.complaints.clear()  # axe tries styles that the policy refuses
        assert desk.page.evaluate(WIDER) <= 0, name
        if size == DESK:
            assert desk.page.evaluate(CUT) == [], name


def test_the_list_is_searched_and_walked_with_keys_alone(seat, trail):
    desk = seat()
    desk.open(trail["list"])

    desk.page.get_by_label("行为人（工号或编号）").focus()
    desk.page.keyboard.type("lin")
    desk.page.keyboard.press("Enter")
    desk.page.get_by_role("link", name="更早 →").focus()
    desk.page.keyboard.press("Enter")

    expect(desk.page.locator("#trail tbody tr")).to_have_count(10)
    expect(desk.page.get_by_label("行为人（工号或编号）")).not_to_have_value("")
    desk.page.get_by_role("link", name="← 更新").focus()
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator("#trail tbody tr")).to_have_count(50)
    assert desk.complaints == []


def test_a_finding_is_settled_with_keys_alone(seat, trail):
    desk = seat()
    desk.open(trail["finding"])

    desk.page.get_by_label("已处置").focus()
    desk.page.keyboard.press("Space")
    desk.page.keyboard.press("Tab")
    desk.page.keyboard.type("已与本人核实")
    desk.page.keyboard.press("Tab")
    desk.page.keyboard.press("Enter")

    expect(desk.page.locator(".messagelist")).to_contain_text("已处置")
    assert Finding.objects.get().note == "已与本人核实"
    expect(desk.page.locator(".banner-alert")).to_have_count(0)


def test_the_proof_is_saved_as_a_file(seat, trail):
    desk = seat()
    desk.open(trail["event"])

    with desk.page.expect_download() as saved:
        desk.page.get_by_role("button", name="下载证明").click()

    assert saved.value.suggested_filename.endswith(".tlog-proof")
    assert saved.value.path().read_text().startswith("c2sp.org/tlog-proof@v1\nindex ")


def test_the_standing_refreshes_by_itself(seat, trail, house):
    desk = seat()
    desk.open(trail["standing"])
    desk.page.evaluate("window.sameDocument = true")
    house.later(seconds=2)
    size = house.notary(witnessed=True).tree.size

    house.seal(5, witnessed=True)

    expect(desk.page.locator("#live-rows")).not_to_contain_text(f"{size:,} 条，", timeout=10_000)
    assert desk.page.evaluate("window.sameDocument")
    assert desk.complaints == []
