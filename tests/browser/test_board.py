"""今日工作台 in a real browser: live, keyed, whole, and honest about a connection that is cut."""

from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from faceauth import handling
from faceauth.models import FaceSession
from hospital.desk import working
from hospital.patients import enrolment
from hospital.patients.documents import DocumentType
from hospital.patients.models import Likeness
from tests.browser.desk import DESK, HAND, expect

HOME = reverse("admin:index")
ROW = "[data-part=visits] li"
State = FaceSession.State
EIGHT = datetime.fromisoformat("2026-11-23T08:00:00+08:00")


@pytest.fixture
def lobby(kiosk, notice, merchant):
    """A terminal whose visits end as a test says."""

    def visit(state=State.FAILED, reason="authorization_failed"):
        session = FaceSession.objects.get(pk=kiosk.agree())
        FaceSession.objects.filter(pk=session.pk).update(
            state=state, reason=reason, finished_at=timezone.now()
        )
        session.refresh_from_db()
        return session

    return visit


@pytest.fixture
def morning(lobby, sun):
    """A little of everything."""
    visits = [
        lobby(),
        lobby(State.REFUSED, ""),
        lobby(State.GUARDIAN_REQUIRED, ""),
        lobby(State.FAILED, "name_differs"),
        lobby(State.FAILED, "wechat:USER_NOT_AUTHORIZED_AND_MORE"),
    ]
    handling.take(visits[0], by=sun, at=timezone.now())
    lobby(State.ONBOARDED, "")
    people = [
        enrolment.enrol(
            enrolment.Person("张三", DocumentType.PASSPORT, f"E{number:08}"),
            accounts={},
            campus="main",
            at=timezone.now(),
        )[0]
        for number in range(2)
    ]
    Likeness.objects.create(
        kind=Likeness.Kind.EXACT, first=people[0], second=people[1], found_at=timezone.now()
    )
    return visits


def test_board_and_visit_are_whole_and_axe_finds_nothing(seat, chen, morning):
    desk = seat(chen)
    visit = reverse("admin:faceauth_facesession_change", args=[morning[1].pk])

    desk.visit(HOME, "board")
    desk.visit(visit, "visit")
    desk.visit(reverse("admin:faceauth_facesession_changelist"), "visits")


@pytest.mark.parametrize("name", ["lin", "mei", "zhou", "gu"])
def test_every_home_is_whole_and_axe_finds_nothing(request, seat, notice, name):
    seat(request.getfixturevalue(name)).visit(HOME, f"home-{name}")


def test_who_is_left_standing_shows_within_two_seconds_without_reloading(seat, chen, lobby):
    desk = seat(chen)
    desk.page.clock.install(time=EIGHT)  # seconds of the page's, however busy this machine is
    desk.open(HOME)
    desk.page.evaluate("window.sameDocument = true")
    desk.page.clock.pause_at(EIGHT + timedelta(hours=1))
    expect(desk.page.locator(".board-state")).to_have_text("实时更新，最近 09:00:00")
    expect(desk.page.locator(ROW)).to_have_count(0)

    lobby()
    desk.page.clock.run_for(2_000)

    expect(desk.page.locator(ROW)).to_have_count(1)
    expect(desk.page.locator(".board-news")).to_have_text("新增 1 项")
    assert desk.page.evaluate("window.sameDocument")
    assert desk.complaints == []


def test_neither_focus_nor_scrolling_moves(seat, chen, lobby):
    for _ in range(14):
        lobby()
    desk = seat(chen)
    desk.open(HOME)
    last = desk.page.locator(f"{ROW} button").last
    last.focus()
    desk.page.evaluate("document.activeElement.closest('li').scrollIntoView({block: 'end'})")
    before = last.bounding_box()["y"]

    lobby()

    expect(desk.page.locator(ROW)).to_have_count(15)
    expect(last).to_be_focused()
    assert abs(last.bounding_box()["y"] - before) <= 1


def test_a_click_goes_to_whom_it_was_aimed_at(seat, chen, sun, lobby):
    first, second = lobby(), lobby()
    desk = seat(chen)
    desk.open(HOME)
    button = desk.page.locator(f"[data-key=session-{first.pk}] button")
    button.hover()
    before = button.bounding_box()["y"]

    lobby()
    expect(desk.page.locator(ROW)).to_have_count(3)
    pushed = button.bounding_box()["y"]
    for session in FaceSession.objects.exclude(pk__in=[first.pk, second.pk]):
        handling.settle(session, FaceSession.Settlement.LEFT, by=sun, at=timezone.now())
    handling.settle(second, FaceSession.Settlement.LEFT, by=sun, at=timezone.now())
    expect(desk.page.locator(ROW)).to_have_count(1)
    pulled = button.bounding_box()["y"]

    assert abs(pushed - before) <= 1
    assert abs(pulled - before) <= 1


def test_focus_stays_when_the_list_is_cut_at_its_end(seat, chen, lobby, monkeypatch):
    monkeypatch.setattr(working, "SHOWN", 4)
    for _ in range(3):
        lobby()
    desk = seat(chen)
    desk.open(HOME)
    button = desk.page.locator(f"{ROW} button").nth(1)
    key = desk.page.locator(ROW).nth(1).get_attribute("data-key")
    button.focus()

    lobby()

    expect(desk.page.locator(ROW)).to_have_count(4)
    expect(desk.page.get_by_text("只列 4 项")).to_be_visible()
    expect(desk.page.locator(f"[data-key={key}] button")).to_be_focused()


def test_focus_stays_on_the_row_whose_button_goes(seat, chen, sun, lobby):
    session = lobby()
    desk = seat(chen)
    desk.open(HOME)
    row = desk.page.locator(f"[data-key=session-{session.pk}]")
    row.locator("button").focus()

    handling.take(session, by=sun, at=timezone.now())

    expect(row).to_contain_text("正在办理")
    expect(row.locator("a")).to_be_focused()


def test_when_the_row_one_is_on_goes_the_next_is_a_key_away(seat, chen, sun, lobby):
    session = lobby()
    lobby()
    desk = seat(chen)
    desk.open(HOME)
    desk.page.locator(f"[data-key=session-{session.pk}] button").focus()

    handling.settle(session, FaceSession.Settlement.LEFT, by=sun, at=timezone.now())

    expect(desk.page.locator(ROW)).to_have_count(1)
    expect(desk.page.get_by_role("heading", name="待人工办理")).to_be_focused()


def test_a_cut_connection_is_said_and_mends_by_itself(seat, chen, lobby):
    desk = seat(chen)
    desk.open(HOME)
    live = f"**{reverse('desk:board-live')}"

    desk.context.route(live, lambda route: route.abort())
    expect(desk.page.locator(".board-state")).to_contain_text("连接中断，正在重试")
    desk.context.unroute(live)

    expect(desk.page.locator(".board-state")).to_contain_text("实时更新，最近")
    expect(desk.page.locator(".is-cut")).to_have_count(0)


def test_a_page_nobody_sees_asks_for_nothing(seat, chen, notice):
    desk = seat(chen)
    desk.open(HOME)
    desk.page.evaluate(
        "Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true });"
        "window.away = true"
    )
    desk.page.wait_for_timeout(2_000)
    before = len(desk.asked)
    desk.page.wait_for_timeout(3_000)
    quiet = desk.asked[before:]

    assert quiet == []
    with desk.page.expect_request(f"**{reverse('desk:board-live')}"):
        desk.page.evaluate(
            "window.away = false; document.dispatchEvent(new Event('visibilitychange'))"
        )


def test_a_login_that_ended_clears_the_board(seat, chen, lobby):
    lobby()
    desk = seat(chen)
    desk.open(HOME)

    desk.client.logout()

    expect(desk.page.locator(ROW)).to_have_count(0)
    expect(desk.page.locator("#login-form")).to_be_visible()


def test_taking_over_is_one_key(seat, chen, lobby):
    session = lobby()
    desk = seat(chen)
    desk.open(HOME)

    desk.page.get_by_role("button", name="接手办理").focus()
    desk.page.keyboard.press("Enter")
    desk.page.wait_for_url("**/register/**")

    session.refresh_from_db()
    assert session.taken_by == chen.pk


def test_slash_finds_alt_n_registers_and_a_question_mark_tells(seat, chen, notice):
    desk = seat(chen)
    desk.open(HOME)

    desk.page.keyboard.press("?")
    expect(desk.page.get_by_role("dialog", name="快捷键")).to_be_visible()
    desk.page.keyboard.press("Escape")
    expect(desk.page.get_by_role("dialog")).to_be_hidden()
    desk.page.bring_to_front()
    desk.page.keyboard.press("/")
    expect(desk.page.locator("#quick-box")).to_be_focused()
    desk.page.keyboard.type("/?")
    expect(desk.page.locator("#quick-box")).to_have_value("/?")
    desk.page.keyboard.press("Alt+n")

    desk.page.wait_for_url(f"**{reverse('desk:register')}")
    assert desk.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, HAND], ids=["desk", "hand"])
def test_keys_are_told_and_nothing_of_the_head_covers_another(seat, chen, lobby, size, scheme):
    lobby(State.FAILED, "wechat:" + "X" * 57)
    desk = seat(chen, size, scheme)
    desk.open(HOME)
    box = "one => one.getBoundingClientRect()[{!r}]"
    head = desk.page.locator("#header").evaluate(box.format("bottom"))
    banners = desk.page.locator("#header ~ aside, #container > aside").first
    advice = desk.page.locator(f"{ROW} p").evaluate(
        "one => { const all = document.createRange(); all.selectNodeContents(one);"
        "return all.getBoundingClientRect().right - one.closest('.card').clientWidth }"
    )

    assert head <= banners.evaluate(box.format("top")) + 0.5
    assert advice <= desk.page.locator(".work").first.bounding_box()["x"]
    desk.page.locator("#keys-open").click()
    desk.check(f"keys-{size[0]}-{scheme}")


def test_single_keys_can_be_turned_off_and_stay_off(seat, chen, notice):
    desk = seat(chen)
    desk.open(HOME)
    desk.page.keyboard.press("?")
    desk.page.get_by_label("使用单键快捷键").uncheck()
    desk.page.keyboard.press("Escape")
    desk.open(HOME)

    desk.page.keyboard.press("/")
    desk.page.keyboard.press("?")

    expect(desk.page.locator("#quick-box")).not_to_be_focused()
    expect(desk.page.get_by_role("dialog")).to_be_hidden()
    desk.page.locator("#keys-open").click()
    desk.page.get_by_label("使用单键快捷键").check()
    desk.page.keyboard.press("Escape")
    desk.page.keyboard.press("/")
    expect(desk.page.locator("#quick-box")).to_be_focused()


def test_a_document_scanned_anywhere_finds_its_patient(seat, chen, notice):
    person = enrolment.Person("张三", DocumentType.RESIDENT, "11010119900307002X")
    patient, _ = enrolment.enrol(person, accounts={}, campus="main", at=timezone.now())
    desk = seat(chen)
    desk.open(reverse("admin:faceauth_facesession_changelist"))

    desk.page.keyboard.press("/")
    desk.page.keyboard.type("11010119900307002x\n")

    expect(desk.page.locator("#content")).to_contain_text(patient.number)
    assert "110101" not in desk.page.url
