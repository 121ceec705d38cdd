"""Binding and showing second factors in a real browser: a phone's codes, a security key."""

from pathlib import Path
from urllib.parse import urljoin

import pytest
from django.urls import reverse

from tests import signing_in
from tests.conftest import PASSWORD

playwright = pytest.importorskip(
    "playwright.sync_api", reason="browser tests need requirements-browser.txt"
)
from tests.browser.test_admin_in_a_browser import (  # noqa: E402 (which needs it, too)
    CHROMIUM,
    chromium,  # noqa: F401
)
from tests.browser.test_auditor import CUT, DESK, HAND, WIDER, Desk  # noqa: E402

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="browser tests need chromium on the PATH"),
]

expect = playwright.expect
KEY = {
    "protocol": "ctap2",
    "transport": "usb",
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def seat(chromium, live_server):  # noqa: F811
    desks = []

    def sit(size=DESK, scheme="light"):
        desks.append(Desk(chromium, live_server.url, size, scheme))
        return desks[-1]

    yield sit
    for desk in desks:
        desk.context.close()


def with_password(desk, person):
    desk.open(reverse("admin:login"))
    desk.page.fill("#id_username", person.username)
    desk.page.fill("#id_password", PASSWORD)
    desk.page.keyboard.press("Enter")


def plugged_in(desk):
    """Give the browser a security key of software."""
    wire = desk.context.new_cdp_session(desk.page)
    wire.send("WebAuthn.enable")
    wire.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})


def is_sound(desk, shots, name):
    desk.page.screenshot(path=Path(shots) / f"{name}.png", full_page=True)
    assert desk.violations() == [], name
    assert desk.page.evaluate(WIDER) <= 0, name
    assert desk.page.evaluate(CUT) == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, HAND], ids=["desk", "hand"])
def test_the_first_day(seat, zhou, size, scheme, tmp_path):
    desk = seat(size, scheme)
    desk.open(reverse("admin:login"))
    is_sound(desk, tmp_path, "login")
    with_password(desk, zhou)

    expect(desk.page.locator("h1")).to_have_text("绑定第二步验证")
    is_sound(desk, tmp_path, "enrol")
    desk.page.get_by_role("link", name="手机验证器").click()
    is_sound(desk, tmp_path, "totp")
    phone = signing_in.phone_of(desk.page.content())
    expect(desk.page.locator("#id_code")).to_be_focused()
    desk.page.keyboard.type("000000")
    desk.page.keyboard.press("Enter")
    expect(desk.page.get_by_role("alert")).to_contain_text("动态码不正确")
    desk.page.fill("#id_code", phone.code())
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator(".recovery li")).to_have_count(10)
    is_sound(desk, tmp_path, "new-codes")
    desk.page.get_by_role("link", name="已经保存，去工作台").click()
    expect(desk.page.locator("#user-tools")).to_contain_text("zhou")
    for name in ("factors", "key", "codes"):
        desk.open(reverse(f"account:{name}"))
        is_sound(desk, tmp_path, name)
    desk.open(reverse("step-up"))
    is_sound(desk, tmp_path, "step-up")

    desk.page.get_by_role("button", name="退出").click()
    with_password(desk, zhou)
    expect(desk.page.locator("#id_code")).to_be_focused()
    is_sound(desk, tmp_path, "second-factor")
    desk.page.keyboard.type(phone.code())
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator("#user-tools")).to_contain_text("zhou")
    assert desk.complaints == []


def test_a_security_key_is_bound_and_logs_in(seat, zhou, tmp_path):
    desk = seat()
    plugged_in(desk)
    with_password(desk, zhou)
    desk.page.get_by_role("link", name="安全密钥").click()
    desk.page.get_by_role("button", name="绑定").click()
    expect(desk.page.locator(".recovery li")).to_have_count(10)

    desk.open(reverse("admin:index"))
    desk.page.get_by_role("button", name="退出").click()
    with_password(desk, zhou)
    expect(desk.page.get_by_role("button", name="使用安全密钥")).to_be_visible()
    is_sound(desk, tmp_path, "second-factor-key")
    desk.page.get_by_role("button", name="使用安全密钥").click()

    expect(desk.page.locator("#user-tools")).to_contain_text("zhou")
    desk.open(reverse("step-up") + "?next=" + reverse("admin:audit_export_add"))
    desk.page.get_by_role("button", name="使用安全密钥").click()
    desk.page.wait_for_url(urljoin(desk.server, reverse("admin:audit_export_add")))
    assert desk.complaints == []


def test_who_breaks_off_is_told_and_may_try_again(seat, zhou):
    desk = seat()
    with_password(desk, zhou)
    desk.page.get_by_role("link", name="安全密钥").click()
    desk.page.evaluate("() => { navigator.credentials.create = () => Promise.reject(); }")

    desk.page.get_by_role("button", name="绑定").click()

    expect(desk.page.get_by_role("status")).to_have_text("没有完成，请重试")
    expect(desk.page.get_by_role("button", name="绑定")).to_be_enabled()
