"""The auditor's pages in a real browser: read by axe-core, walked with keys, whole when narrow."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from hospital.audit import analysis
from hospital.audit.actions import Action
from hospital.audit.detection import Occasion, detect
from hospital.audit.findings import Finding
from hospital.audit.recording import record
from tests.browser.desk import expect
from tests.hospital.notarised import House


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


def test_every_page_is_whole_and_axe_finds_nothing(seat, zhou, trail):
    desk = seat(zhou)

    for name, address in trail.items():
        desk.visit(address, f"trail-{name}")


def test_the_list_is_searched_and_walked_with_keys_alone(seat, zhou, trail):
    desk = seat(zhou)
    desk.open(trail["list"])

    desk.page.get_by_label("行为人（工号或编号）").focus()
    desk.page.keyboard.type("lin")
    follow(desk)
    desk.page.get_by_role("link", name="更早 →").focus()
    follow(desk)

    expect(desk.page.locator("#trail tbody tr")).to_have_count(10)
    expect(desk.page.get_by_label("行为人（工号或编号）")).not_to_have_value("")
    desk.page.get_by_role("link", name="← 更新").focus()
    follow(desk)
    expect(desk.page.locator("#trail tbody tr")).to_have_count(50)
    assert desk.complaints == []


def follow(desk):
    """Press Enter, and wait for the next page: on this one there are links of the same names."""
    with desk.page.expect_navigation():
        desk.page.keyboard.press("Enter")


def test_a_finding_is_settled_with_keys_alone(seat, zhou, trail):
    desk = seat(zhou)
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


def test_the_proof_is_saved_as_a_file(seat, zhou, trail):
    desk = seat(zhou)
    desk.open(trail["event"])

    with desk.page.expect_download() as saved:
        desk.page.get_by_role("button", name="下载证明").click()

    assert saved.value.suggested_filename.endswith(".tlog-proof")
    assert saved.value.path().read_text().startswith("c2sp.org/tlog-proof@v1\nindex ")


def test_the_standing_refreshes_by_itself(seat, zhou, trail, house):
    desk = seat(zhou)
    desk.open(trail["standing"])
    desk.page.evaluate("window.sameDocument = true")
    house.later(seconds=2)
    size = house.notary(witnessed=True).tree.size

    house.seal(5, witnessed=True)

    expect(desk.page.locator("#live-rows")).not_to_contain_text(f"{size:,} 条，")
    assert desk.page.evaluate("window.sameDocument")
    assert desk.complaints == []
