"""Binding and showing second factors in a real browser: a phone's codes, a security key."""

from urllib.parse import urljoin

from django.urls import reverse

from tests import signing_in
from tests.browser.desk import expect


def test_the_first_day(seat, zhou):
    desk = seat()
    desk.open(reverse("admin:login"))
    desk.look("login")
    desk.show_password(zhou)

    expect(desk.page.locator("h1")).to_have_text("绑定第二步验证")
    desk.look("enrol")
    desk.page.get_by_role("link", name="手机验证器").click()
    desk.look("totp")
    phone = signing_in.phone_of(desk.page.content())
    expect(desk.page.locator("#id_code")).to_be_focused()
    desk.page.keyboard.type("000000")
    desk.page.keyboard.press("Enter")
    expect(desk.page.get_by_role("alert")).to_contain_text("动态码不正确")
    desk.page.fill("#id_code", phone.code())
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator(".recovery li")).to_have_count(10)
    desk.look("new-codes")
    desk.page.get_by_role("link", name="已经保存，去工作台").click()
    expect(desk.page.locator("#user-tools")).to_contain_text("zhou")
    for name in ("factors", "key", "codes"):
        desk.open(reverse(f"account:{name}"))
        desk.look(name)
    desk.open(reverse("step-up"))
    desk.look("step-up")

    desk.page.get_by_role("button", name="退出").click()
    desk.show_password(zhou)
    expect(desk.page.locator("#id_code")).to_be_focused()
    desk.look("second-factor")
    desk.page.keyboard.type(phone.code())
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator("#user-tools")).to_contain_text("zhou")
    assert desk.complaints == []


def test_a_security_key_is_bound_and_logs_in(seat, zhou):
    desk = seat()
    desk.plug_in_a_key()
    desk.show_password(zhou)
    desk.page.get_by_role("link", name="安全密钥").click()
    desk.page.get_by_role("button", name="绑定").click()
    expect(desk.page.locator(".recovery li")).to_have_count(10)

    desk.open(reverse("admin:index"))
    desk.page.get_by_role("button", name="退出").click()
    desk.show_password(zhou)
    expect(desk.page.get_by_role("button", name="使用安全密钥")).to_be_visible()
    desk.check("second-factor-key")
    desk.page.get_by_role("button", name="使用安全密钥").click()

    expect(desk.page.locator("#user-tools")).to_contain_text("zhou")
    desk.open(reverse("step-up") + "?next=" + reverse("admin:audit_export_add"))
    desk.page.get_by_role("button", name="使用安全密钥").click()
    desk.page.wait_for_url(urljoin(desk.server, reverse("admin:audit_export_add")))
    assert desk.complaints == []


def test_who_breaks_off_is_told_and_may_try_again(seat, zhou):
    desk = seat()
    desk.show_password(zhou)
    desk.page.get_by_role("link", name="安全密钥").click()
    desk.page.evaluate("() => { navigator.credentials.create = () => Promise.reject(); }")

    desk.page.get_by_role("button", name="绑定").click()

    expect(desk.page.get_by_role("status")).to_have_text("没有完成，请重试")
    expect(desk.page.get_by_role("button", name="绑定")).to_be_enabled()
