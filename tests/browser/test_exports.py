"""An auditor takes a copy of the trail away, in a real browser."""

import zipfile
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone

from hospital.audit.exporting import making, requests
from hospital.audit.exporting.selecting import Range
from hospital.audit.models import Export
from tests.hospital.notarised import House

playwright = pytest.importorskip(
    "playwright.sync_api", reason="browser tests need requirements-browser.txt"
)
from tests.browser import test_admin_in_a_browser as admin  # noqa: E402 (which needs it, too)

pytestmark = admin.pytestmark
chromium, desk = admin.chromium, admin.desk

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
SIZES = [(1366, 768), (390, 844)]


@pytest.fixture
def house(tmp_path, transactional_db, settings):
    settings.EXPORTS_DIR = tmp_path / "exports"
    house = House(tmp_path, now=timezone.now())
    settings.TRAIL_ORIGIN = house.origin
    settings.TRAIL_VERIFIERS = [str(house.signer.verifier)]
    house.seal(25)
    return house


@pytest.mark.parametrize("size", SIZES)
def test_an_auditor_asks_waits_and_downloads(desk, house, zhou, size, tmp_path):
    desk.page.set_viewport_size({"width": size[0], "height": size[1]})
    desk.sit_down(zhou)
    desk.open(reverse("admin:audit_export_changelist"))
    desk.page.get_by_role("link", name="新建留痕导出").click()
    desk.page.get_by_label("一段序号").check()
    desk.page.get_by_label("起始序号").fill("0")
    desk.page.get_by_label("终止序号（含）").fill("24")
    desk.page.get_by_label("理由").fill("季度检查")
    desk.page.get_by_role("button", name="预估条数").click()
    playwright.expect(desk.page.get_by_role("status")).to_contain_text("共 25 条")
    shot(desk, tmp_path, "ask")
    assert violations(desk) == []

    desk.page.get_by_role("button", name="申请导出").click()
    playwright.expect(desk.page.locator("#live-rows .badge")).to_have_text("排队")
    making.make(Export.objects.get().pk, clock=timezone.now)

    button = desk.page.get_by_role("button", name="下载")
    playwright.expect(button).to_be_visible(timeout=10_000)  # without reloading
    shot(desk, tmp_path, "ready")
    assert violations(desk) == []
    assert fits(desk)
    with desk.page.expect_download() as waiting:
        button.click()
    with zipfile.ZipFile(waiting.value.path()) as copy:
        assert copy.read("events.jsonl").count(b"\n") == 25
    assert desk.complaints == []


def test_the_security_administrator_reads_it_and_says_so(desk, house, mei, zhou, tmp_path):
    ask(zhou, house)
    desk.sit_down(mei)
    playwright.expect(desk.page.locator(".banner")).to_contain_text("有 1 次留痕导出未阅")
    desk.page.locator(".banner a").click()
    shot(desk, tmp_path, "unseen")
    assert violations(desk) == []

    desk.page.get_by_role("button", name="全部标为已阅").click()

    playwright.expect(desk.page.locator(".banner")).to_have_count(0)
    assert fits(desk)
    assert desk.complaints == []


def ask(person, house):

    how = {"purpose": "review", "reason": "季度检查", "at": house.now}
    return requests.request(Range(0, 25), by=person, requested_by=person.pk, **how)


def violations(desk):
    """Return what axe-core finds wrong with the page."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci in tests/browser")
    before = list(desk.complaints)
    desk.page.evaluate(AXE.read_text())
    found = desk.page.evaluate("axe.run()")["violations"]
    desk.complaints[:] = before  # axe tries styles that the policy refuses
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


def fits(desk):
    """Return whether nothing has to be scrolled sideways to."""
    return desk.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def shot(desk, tmp_path, name):
    desk.page.screenshot(path=tmp_path / f"{name}.png", full_page=True)
