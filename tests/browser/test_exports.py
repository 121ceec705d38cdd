"""An auditor takes a copy of the trail away, in a real browser."""

import zipfile

import pytest
from django.urls import reverse
from django.utils import timezone

from hospital.audit.exporting import making, requests
from hospital.audit.exporting.selecting import Range
from hospital.audit.models import Export
from tests.browser.desk import expect
from tests.hospital.notarised import House


@pytest.fixture
def house(tmp_path, transactional_db, settings):
    settings.EXPORTS_DIR = tmp_path / "exports"
    house = House(tmp_path, now=timezone.now())
    settings.TRAIL_ORIGIN = house.origin
    settings.TRAIL_VERIFIERS = [str(house.signer.verifier)]
    house.seal(25)
    return house


def test_an_auditor_asks_waits_and_downloads(seat, house, zhou):
    desk = seat(zhou)
    desk.open(reverse("admin:audit_export_changelist"))
    desk.page.get_by_role("link", name="新建留痕导出").click()
    desk.page.get_by_label("一段序号").check()
    desk.page.get_by_label("起始序号").fill("0")
    desk.page.get_by_label("终止序号（含）").fill("24")
    desk.page.get_by_label("理由").fill("季度检查")
    desk.page.get_by_role("button", name="预估条数").click()
    expect(desk.page.get_by_role("status")).to_contain_text("共 25 条")
    desk.look("export-ask")

    desk.page.get_by_role("button", name="申请导出").click()
    expect(desk.page.locator("#live-rows .badge")).to_have_text("排队")
    making.make(Export.objects.get().pk, clock=timezone.now)

    button = desk.page.get_by_role("button", name="下载")
    expect(button).to_be_visible()  # without reloading
    desk.look("export-ready")
    with desk.page.expect_download() as waiting:
        button.click()
    with zipfile.ZipFile(waiting.value.path()) as copy:
        assert copy.read("events.jsonl").count(b"\n") == 25
    assert desk.complaints == []


def test_the_security_administrator_reads_it_and_says_so(seat, house, mei, zhou):
    ask(zhou, house)
    desk = seat(mei)
    desk.open(reverse("admin:index"))
    expect(desk.page.locator(".banner")).to_contain_text("有 1 次留痕导出未阅")
    desk.page.locator(".banner a").click()
    desk.look("export-unseen")

    desk.page.get_by_role("button", name="全部标为已阅").click()

    expect(desk.page.locator(".banner")).to_have_count(0)
    desk.look("export-seen")


def ask(person, house):

    how = {"purpose": "review", "reason": "季度检查", "at": house.now}
    return requests.request(Range(0, 25), by=person, requested_by=person.pk, **how)
