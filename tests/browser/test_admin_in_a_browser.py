"""The admin in a real browser: nothing refused by the policy, nothing fetched from elsewhere."""

import pytest
from django.contrib.sessions.models import Session
from django.urls import reverse

from faceauth.models import Merchant
from tests.browser.desk import expect

SESSIONS = "admin:faceauth_facesession_changelist"
ONE_VISIT = "#result_list tbody tr"


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
def test_no_page_is_refused_anything_or_asks_elsewhere(request, seat, lobby, name):
    desk = seat(request.getfixturevalue(name))

    seen, ahead = set(), {reverse("admin:index")}
    while ahead and len(seen) < 60:
        address = ahead.pop()
        assert desk.open(address).status == 200, address
        seen.add(address)
        ahead |= desk.links() - seen

    assert len(seen) > 3
    assert desk.complaints == []
    assert desk.strange == []


def test_a_new_visit_shows_without_reloading(seat, lobby, chen):
    desk = seat(chen)
    desk.open(reverse(SESSIONS))
    desk.page.evaluate("window.sameDocument = true")
    pause(desk)

    lobby.agree()
    desk.page.get_by_role("button", name="继续刷新").click()

    expect(desk.page.locator(ONE_VISIT)).to_have_count(2)
    expect(desk.page.locator(f"{ONE_VISIT}.is-new")).to_have_count(1)
    expect(desk.page.get_by_role("status")).to_have_text("新增 1 个会话")
    assert desk.page.evaluate("window.sameDocument")
    assert desk.complaints == []


def test_an_empty_list_fills_without_reloading(seat, empty_lobby, chen):
    desk = seat(chen)
    desk.open(reverse(SESSIONS))
    expect(desk.page.locator(".empty")).to_be_visible()
    pause(desk)

    empty_lobby.agree()
    desk.page.get_by_role("button", name="继续刷新").click()

    expect(desk.page.locator(ONE_VISIT)).to_have_count(1)
    expect(desk.page.locator(".empty")).to_have_count(0)


def test_the_list_refreshes_by_itself(seat, lobby, chen):
    desk = seat(chen)
    desk.open(reverse(SESSIONS))

    expect(desk.page.locator(".live-state")).to_contain_text("自动刷新，最近")


def test_the_list_holds_still_while_somebody_chooses(seat, lobby, chen):
    desk = seat(chen)
    desk.open(reverse(SESSIONS))
    desk.page.locator("#changelist-filter summary").click()
    expect(desk.page.locator(".live-state")).to_have_text("正在操作，暂停刷新")
    before = len(desk.asked)

    desk.page.wait_for_timeout(4000)

    assert desk.asked[before:] == []


def test_escape_closes_a_filter(seat, lobby, chen):
    desk = seat(chen)
    desk.open(reverse(SESSIONS))
    menu = desk.page.locator(".filter-menu")
    desk.page.locator("#changelist-filter summary").click()
    expect(menu).to_be_visible()

    desk.page.keyboard.press("Escape")

    expect(menu).to_be_hidden()


def test_a_login_that_ended_clears_the_screen(seat, lobby, chen):
    desk = seat(chen)
    desk.open(reverse(SESSIONS))
    pause(desk)

    Session.objects.all().delete()
    desk.page.get_by_role("button", name="继续刷新").click()

    expect(desk.page.locator("#login-form")).to_be_visible()
    expect(desk.page.locator("#result_list")).to_have_count(0)


def pause(desk):
    """Stop the refresh, so that the test and the server are not in the database at once."""
    desk.page.get_by_role("button", name="暂停刷新").click()
    expect(desk.page.locator(".live-state")).to_have_text("已暂停")
    desk.page.wait_for_load_state("networkidle")
