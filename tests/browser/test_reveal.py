"""Finding, revealing and printing in a real browser: whole, keyed, and soon forgotten again."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from hospital.accounts.models import PolicyChoice
from hospital.audit.models import Event
from hospital.patients import enrolment
from hospital.patients.models import Likeness
from tests.browser.desk import PICTURES, expect

INCH = 25.4  # millimetres
NAME, NUMBER = "欧阳小英", "11010119900307002X"


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


def find(desk, text):
    desk.open(reverse("desk:find"))
    expect(desk.page.locator("#find-box")).to_be_focused()
    desk.page.keyboard.type(f"{text}\n")
    desk.page.locator("#results, #find-refusal").wait_for()


def stop_the_clock(desk):
    """From here on the page's time goes as far as a test lets it, however busy this machine is."""
    desk.page.clock.install()
    desk.page.clock.pause_at(timezone.now() + timedelta(minutes=1))


def choose(desk, purpose="核对身份"):
    desk.page.get_by_label("查看明文的用途").select_option(label=purpose)


def test_every_page_is_whole_and_axe_finds_nothing(seat, chen, patient):
    desk = seat(chen)

    desk.visit(reverse("desk:find"), "find")
    for name, text in {
        "found": NUMBER,
        "elsewhere": "E87654321",
        "nobody": "110101199003070021",
        "unclear": "张三",
    }.items():
        find(desk, text)
        desk.look(f"find-{name}")
    desk.visit(reverse("desk:patient", args=[patient.pk]), "patient")
    choose(desk)
    for what in ("姓名", "证件号码", "出生日期"):
        desk.page.get_by_role("button", name=f"查看{what}").click()
        desk.page.get_by_role("button", name="隐藏").last.wait_for()
    desk.look("revealed")
    for paper in ("receipt", "a4"):
        desk.visit(f"{reverse('desk:slip', args=[patient.pk])}?paper={paper}", f"slip-{paper}")
        desk.visit(f"{reverse('desk:test-page')}?paper={paper}", f"test-{paper}")


def test_a_scan_and_two_keys_open_a_patient(seat, chen, patient):
    desk = seat(chen)

    find(desk, NUMBER.lower())
    expect(desk.page.get_by_role("link", name="打开").first).to_be_focused()
    desk.page.keyboard.press("Enter")

    expect(desk.page.get_by_role("heading", level=1)).to_contain_text(patient.number)
    assert not [url for url in desk.asked if NUMBER[:6] in url]


@pytest.mark.parametrize("first", [NUMBER, "E11111111", "110101199003070021", "张三"])
def test_the_next_scan_takes_the_place_of_the_last_wherever_the_focus_is(
    seat, chen, patient, first
):
    desk = seat(chen)
    find(desk, first)

    desk.page.keyboard.type("E00000000\n")

    expect(desk.page.get_by_role("heading", name="没有找到")).to_be_visible()
    expect(desk.page.locator("#find-box")).to_have_value("E00000000")


def test_a_value_is_shown_under_a_watermark_and_hidden_by_itself(seat, chen, patient):
    PolicyChoice.objects.create(key="REVEAL_SECONDS", value=5, set_at=timezone.now())
    desk = seat(chen)
    stop_the_clock(desk)
    desk.open(reverse("desk:patient", args=[patient.pk]))
    assert NAME not in desk.page.content()
    choose(desk)

    desk.page.get_by_role("button", name="查看姓名").click()

    expect(desk.page.locator(".revealed")).to_contain_text(NAME)
    expect(desk.page.locator(".watermark")).to_contain_text("chen 20")
    expect(desk.page.get_by_role("button", name="隐藏（5 秒）")).to_be_visible()
    desk.page.clock.run_for(4_500)
    expect(desk.page.get_by_role("button", name="隐藏（1 秒）")).to_be_visible()
    desk.page.clock.run_for(500)
    expect(desk.page.locator(".revealed")).to_have_count(0)
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
    choose(desk)
    desk.page.get_by_role("button", name="查看证件号码").click()
    expect(desk.page.locator(".revealed")).to_contain_text(NUMBER)

    desk.page.evaluate(leaving)

    expect(desk.page.locator(".revealed")).to_have_count(0)
    assert NUMBER not in desk.page.content()


def test_going_back_shows_nothing_of_it(seat, chen, patient):
    desk = seat(chen)
    desk.open(reverse("desk:patient", args=[patient.pk]))
    choose(desk)
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
    choose(desk)

    desk.page.get_by_role("button", name="查看姓名").click()
    desk.page.wait_for_url(lambda url: reverse("step-up") in url)

    assert page in desk.page.url.replace("%2F", "/")
    assert NAME not in desk.page.content()


def test_at_the_quota_the_page_says_why_it_stops(seat, chen, patient):
    PolicyChoice.objects.create(key="REVEAL_STOP_HOUR", value=1, set_at=timezone.now())
    PolicyChoice.objects.create(key="REVEAL_WARN_HOUR", value=1, set_at=timezone.now())
    desk = seat(chen)
    desk.open(reverse("desk:patient", args=[patient.pk]))
    choose(desk)
    said = desk.page.get_by_role("alert")

    desk.page.get_by_role("button", name="查看姓名").click()
    expect(said).to_contain_text("请确认均为工作所需")
    desk.page.get_by_role("button", name="查看证件号码").click()

    expect(said).to_contain_text("一小时内查看明文已达上限")
    assert NUMBER not in desk.page.content()


def test_p_prints_and_a_scanned_p_does_not(seat, chen, patient):
    desk = seat(chen)
    desk.context.add_init_script("window.printed = 0; window.print = () => (window.printed += 1)")
    stop_the_clock(desk)
    page = reverse("desk:patient", args=[patient.pk])
    desk.open(page)

    for key in patient.number:
        desk.page.keyboard.press(key)
        desk.page.clock.run_for(5)
    desk.page.clock.run_for(400)  # a scan is over by then
    stayed = desk.page.url.endswith(page)
    desk.page.keyboard.press("p")
    desk.page.clock.run_for(400)
    desk.page.wait_for_url(lambda url: "/slip/" in url)

    assert stayed
    desk.page.wait_for_load_state("load")
    assert desk.page.evaluate("printed") == 1
    desk.page.keyboard.press("p")
    desk.page.clock.run_for(400)
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
