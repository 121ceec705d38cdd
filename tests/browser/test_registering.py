"""Registering, pairs and corrections in a real browser: with keys and a card reader alone."""

from dataclasses import replace
from datetime import date

import pytest
from django.urls import reverse
from django.utils import timezone
from uuid6 import uuid7

from hospital import policy
from hospital.accounts.models import PolicyChoice
from hospital.patients import correcting, enrolment, registering
from hospital.patients.enrolment import Person
from hospital.patients.models import Correction, Likeness, Patient, Registration
from tests.browser.desk import expect

ZHANG = Person("张三", 1, "11010119900307002X")
PASSPORT = Person("张三", 2, "E12345678", date(1990, 3, 7))


@pytest.fixture
def second_look(db):
    PolicyChoice.objects.create(key="SECOND_LOOK", value=1, set_at=timezone.now())
    policy.forget()
    yield
    policy.forget()


@pytest.fixture
def pair(db):
    for person in (ZHANG, PASSPORT):
        enrolment.enrol(person, accounts={}, campus="main", at=timezone.now())
    return Likeness.objects.get()


def enter(person, *, by):
    entry = registering.Entry(
        uuid7(), person, registering.Cause.REFUSED, registering.Evidence.ORIGINAL
    )
    today, now = timezone.localdate(), timezone.now()
    return registering.enter(entry, by=by, at=now, today=today, session=None, anyway=True)


def ask(patient, *, by):
    return correcting.ask(
        patient,
        replace(ZHANG, real_name="张山"),
        evidence=registering.Evidence.ORIGINAL,
        reason="读错了字",
        by=by,
        at=timezone.now(),
        today=timezone.localdate(),
    )


def type_in(desk, text, *keys):
    desk.page.keyboard.type(text)
    for key in keys:
        desk.page.keyboard.press(key)


def register(desk, number, name="", cause="refused"):
    desk.open(reverse("desk:register"))
    desk.page.select_option("#id_cause", cause)
    desk.page.fill("#id_number", number)
    desk.page.fill("#id_name", name)
    with desk.page.expect_navigation():
        desk.page.get_by_role("button", name="提交").click()


def test_what_the_server_says_of_a_box_moves_no_button_that_is_held_down(seat, chen):
    desk = seat(chen)
    desk.open(reverse("desk:register"))
    desk.page.focus("#id_number")
    type_in(desk, "110101199003070021")
    button = desk.page.get_by_role("button", name="提交").bounding_box()
    desk.page.mouse.move(button["x"] + 9, button["y"] + 3)

    with desk.page.expect_response(lambda answer: "x-desk-check" in answer.request.headers):
        desk.page.mouse.down()
    desk.page.wait_for_timeout(200)  # for what is not to happen
    with desk.page.expect_navigation():
        desk.page.mouse.up()

    expect(desk.page.locator("#id_number_error")).to_contain_text("校验码不对")


def test_every_page_is_whole_and_axe_finds_nothing(seat, pair, chen, sun, second_look):
    waiting = enter(Person("李四", 1, "110101199003070046"), by=chen)
    asked = ask(pair.first, by=chen)
    desk = seat(sun)

    for name, *args in (
        ("register",),
        ("registrations",),
        ("registration", waiting.pk),
        ("likenesses",),
        ("likeness", pair.pk),
        ("correct", pair.second_id),
        ("corrections",),
        ("correction", asked.pk),
    ):
        desk.visit(reverse(f"desk:{name}", args=args), name)


def test_what_is_found_instead_is_whole_too(seat, pair, chen, wu):
    desk = seat(chen)
    register(desk, "11010119900307002X", "张三")
    expect(desk.page.get_by_role("heading", name="该证件已有档案，不要新建")).to_be_visible()
    desk.look("known")

    register(desk, "110101199003070046", "张三")
    expect(desk.page.get_by_role("link", name="打开已有档案").first).to_be_focused()
    desk.look("alike")

    register(desk, "110101199003070021", "张3")
    expect(desk.page.locator("#id_number_error")).to_contain_text("校验码不对")
    desk.look("wrong")

    away = seat(wu)
    register(away, "11010119900307002X", "张三")
    expect(away.page.get_by_role("button", name="在本院区登记")).to_be_focused()
    away.page.keyboard.press("Enter")
    expect(away.page.locator(".messagelist")).to_contain_text("已在本院区登记")


def test_a_reader_and_a_few_keys_make_a_patient(seat, chen):
    desk = seat(chen)
    desk.open(reverse("desk:register"))
    expect(desk.page.locator("#id_number")).to_be_focused()

    type_in(desk, "张三 11010119900307002x", "Enter")  # as a reader does
    expect(desk.page.locator("#id_name")).to_have_value("张三")
    expect(desk.page.locator("#id_number")).to_have_value("11010119900307002X")
    expect(desk.page.locator("#id_born")).to_have_value("1990-03-07")
    expect(desk.page.locator("#id_evidence")).to_be_focused()
    expect(desk.page.locator("#guardian")).to_be_hidden()
    assert not Patient.objects.exists()
    desk.page.select_option("#id_cause", "refused")
    desk.page.get_by_role("button", name="提交").focus()
    desk.page.keyboard.press("Enter")

    expect(desk.page.locator(".messagelist")).to_contain_text("已建档")
    assert Patient.objects.get().real_name == "张三"
    assert "?" not in desk.page.url


def test_what_is_wrong_is_said_as_the_box_is_left(seat, chen):
    desk = seat(chen)
    desk.open(reverse("desk:register"))
    expect(desk.page.locator("#id_number")).to_be_focused()

    type_in(desk, "110101199003070021", "Tab")

    expect(desk.page.locator("#id_number_error")).to_contain_text("校验码不对")
    expect(desk.page.locator("#id_number")).to_have_attribute("aria-invalid", "true")
    expect(desk.page.locator("#id_name_error")).to_be_empty()


def test_a_child_brings_the_guardian_and_an_emergency_its_evidence(seat, chen):
    desk = seat(chen)
    desk.open(reverse("desk:register"))
    expect(desk.page.locator("#id_number")).to_be_focused()

    type_in(desk, "110101202001010016", "Tab")
    expect(desk.page.locator("#guardian")).to_be_visible()
    desk.page.fill("#id_number", "")
    desk.page.select_option("#id_kind", "105")

    expect(desk.page.locator("#guardian")).to_be_hidden()
    expect(desk.page.locator("#id_evidence")).to_have_value("stated")


def test_a_double_click_makes_one_patient(seat, chen):
    desk = seat(chen)
    desk.open(reverse("desk:register"))
    desk.page.select_option("#id_cause", "emergency")
    desk.page.select_option("#id_kind", "105")
    expect(desk.page.locator("#id_evidence")).to_have_value("stated")

    desk.page.get_by_role("button", name="提交").dblclick()

    expect(desk.page.locator(".messagelist")).to_contain_text("已建档")
    assert Patient.objects.count() == Registration.objects.count() == 1


def test_a_colleague_reads_the_number_again(seat, chen, sun, second_look):
    waiting = enter(ZHANG, by=chen)
    desk = seat(sun)
    desk.open(reverse("desk:registration", args=[waiting.pk]))
    expect(desk.page.locator("#again")).to_be_focused()

    type_in(desk, "110101199003070046", "Enter")
    expect(desk.page.locator(".messagelist")).to_contain_text("与登记的不一致")
    expect(desk.page.locator("#again")).to_be_focused()
    type_in(desk, "11010119900307002x", "Enter")

    expect(desk.page.locator(".messagelist")).to_contain_text("已复核，已建档")
    assert Patient.objects.count() == 1


def test_a_pair_is_linked_and_unlinked_again(seat, chen, pair):
    desk = seat(chen)
    desk.open(reverse("desk:likenesses"))
    desk.page.get_by_role("link", name="核对").click()

    desk.page.get_by_role("button", name="是同一人，关联").click()
    expect(desk.page.locator("h1")).to_contain_text("已关联")
    desk.page.get_by_role("button", name="解除关联").click()

    expect(desk.page.locator("h1")).to_contain_text("待处理")
    assert Patient.objects.count() == 2


def test_a_correction_is_asked_for_and_decided(seat, chen, sun, pair):
    desk = seat(chen)
    desk.open(reverse("desk:correct", args=[pair.first_id]))
    expect(desk.page.locator("#id_number")).to_be_focused()
    type_in(desk, "11010119900307002X", "Enter")
    type_in(desk, "张山", "Tab")
    desk.page.fill("#id_reason", "读错了字")
    desk.page.get_by_role("button", name="提交申请").click()
    expect(desk.page.locator(".messagelist")).to_contain_text("请另一位同事复核")

    decider = seat(sun)
    decider.open(reverse("desk:correction", args=[Correction.objects.get().pk]))
    expect(decider.page.locator(".differs")).to_contain_text("*三 → *山")
    decider.page.get_by_role("button", name="核对无误，更正").click()

    expect(decider.page.locator(".messagelist")).to_contain_text("已更正")
    assert Patient.objects.get(pk=pair.first_id).real_name == "张山"
