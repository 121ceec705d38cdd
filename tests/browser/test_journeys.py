"""A day of each of the five, in a real browser, from the first login on: every page looked at."""

import pytest
from django.urls import resolve, reverse
from django.utils import timezone
from uuid6 import uuid7

from faceauth.models import Consent, FaceSession
from hospital.accounts.models import PolicyChoice, Staff
from hospital.audit.proposals import Proposal
from hospital.patients import registering
from hospital.patients.enrolment import Person
from hospital.patients.models import Correction, Likeness, Patient, Registration
from tests.browser.desk import expect

ZHANG = Person("张三", 1, "11010119900307002X")


@pytest.fixture
def failed_visit(kiosk, notice, merchant):
    """Somebody in the lobby whose visit came to nothing."""

    def visit():
        session = FaceSession.objects.get(pk=kiosk.agree())
        FaceSession.objects.filter(pk=session.pk).update(
            state=FaceSession.State.FAILED,
            reason="authorization_failed",
            finished_at=timezone.now(),
        )
        return session

    return visit


def enter(person, *, by):
    entry = registering.Entry(
        token=uuid7(),
        person=person,
        cause=Registration.Cause.REFUSED,
        evidence=registering.Evidence.ORIGINAL,
        guardian_agrees=False,
    )
    now = timezone.now()
    return registering.enter(
        entry, by=by, at=now, today=timezone.localdate(), session=None, anyway=False
    )


def walk(desk, name):
    """Look at one page of every kind that can be reached from the home page by links."""
    seen, ahead = set(), [reverse("admin:index")]
    while ahead:
        address = ahead.pop(0)
        kind = resolve(address).view_name
        if kind in seen:
            continue
        seen.add(kind)
        desk.visit(address, f"{name}-{kind.replace(':', '-')}")
        ahead += sorted(one for one in desk.links() if one.startswith("/admin/"))
    return seen


def test_a_registrar_takes_over_where_the_face_failed(seat, chen, failed_visit):
    desk = seat()
    desk.show_password(chen)
    desk.look("enrol")
    desk.bind_a_phone()
    expect(desk.page.locator("h1")).to_contain_text("今日工作台")
    desk.page.evaluate("window.sameDocument = true")

    session = failed_visit()
    expect(desk.page.locator("[data-part=visits] li")).to_have_count(1)
    assert desk.page.evaluate("window.sameDocument")
    desk.look("board")
    desk.press("接手办理")
    desk.look("register")
    desk.page.fill("#id_number", ZHANG.document_number)
    desk.page.fill("#id_name", ZHANG.real_name)
    desk.press("提交")

    expect(desk.page.locator(".messagelist")).to_contain_text("已建档")
    desk.look("patient")
    session.refresh_from_db()
    assert (session.settlement, session.patient) == ("registered", Patient.objects.get())
    desk.visit(reverse("admin:faceauth_facesession_change", args=[session.pk]), "session")
    desk.visit(reverse("desk:slip", args=[Patient.objects.get().pk]), "slip")
    expect(desk.page.locator("#content")).to_contain_text(Patient.objects.get().number)
    assert ZHANG.real_name not in desk.page.content()


def test_what_is_shown_in_clear_ends_with_the_quota(seat, chen, sun):
    for name, most in (("REVEAL_WARN_HOUR", 1), ("REVEAL_STOP_HOUR", 2)):
        PolicyChoice.objects.create(key=name, value=most, set_at=timezone.now())
    patient = enter(ZHANG, by=sun).patient
    desk = seat()
    desk.come_in(chen)
    desk.page.keyboard.press("/")
    desk.page.keyboard.type(f"{ZHANG.document_number}\n")
    desk.page.locator("#results").wait_for()
    desk.look("found")
    desk.open(reverse("desk:patient", args=[patient.pk]))
    assert ZHANG.document_number not in desk.page.content()
    desk.page.get_by_label("查看明文的用途").select_option(label="核对身份")

    said = desk.page.locator("#reveal-said")
    for _ in range(2):
        desk.page.get_by_role("button", name="查看证件号码").click()
        expect(desk.page.locator("body")).to_contain_text(ZHANG.document_number)
        desk.look("revealed")
        desk.page.keyboard.press("Escape")
        expect(desk.page.locator("body")).not_to_contain_text(ZHANG.document_number)
    desk.page.get_by_role("button", name="查看证件号码").click()

    expect(said).not_to_be_empty()
    desk.complaints.clear()  # a browser says of every 429 that it was one
    desk.look("stopped")


def test_a_duplicate_is_linked_and_unlinked_and_a_name_corrected(seat, chen, sun):
    first = enter(ZHANG, by=sun).patient
    desk = seat()
    desk.come_in(chen)
    desk.open(reverse("desk:register"))
    desk.page.select_option("#id_cause", "refused")
    desk.page.select_option("#id_kind", label="护照")
    desk.page.fill("#id_number", "E12345678")
    desk.page.fill("#id_name", "张三")
    desk.page.fill("#id_born", "1990-03-07")
    desk.press("提交")
    desk.look("alike")
    desk.press("不是同一人，仍要新建")
    expect(desk.page.locator(".messagelist")).to_contain_text("已建档")

    desk.visit(reverse("desk:likenesses"), "likenesses")
    desk.press("核对", exact=False)  # and which, to who cannot see the row
    desk.look("likeness")
    desk.press("是同一人，关联")
    desk.look("likeness-linked")
    desk.press("解除关联")
    assert Likeness.objects.get().state == Likeness.State.OPEN
    assert Patient.objects.count() == 2

    desk.visit(reverse("desk:correct", args=[first.pk]), "correct")
    desk.page.fill("#id_number", ZHANG.document_number)
    desk.page.fill("#id_name", "张山")
    desk.page.fill("#id_reason", "读错了字")
    desk.press("提交申请")
    desk.look("correction-asked")
    asked = Correction.objects.get()
    decider = seat()
    decider.come_in(sun)
    decider.visit(reverse("desk:corrections"), "corrections")
    decider.visit(reverse("desk:correction", args=[asked.pk]), "correction")
    decider.press("核对无误，更正")
    first.refresh_from_db()
    assert first.real_name == "张山"


def test_an_account_needs_two_people(seat, lin, mei):
    system, security = seat(), seat()
    system.come_in(lin)
    system.visit(reverse("admin:accounts_staff_add"), "staff-add")
    system.page.fill("#id_username", "han")
    system.page.fill("#id_display_name", "韩")
    system.page.fill("#id_person_id", "E-han")
    with system.page.expect_navigation():
        system.page.locator("input[name=_save]").click()
    han = Staff.objects.get(username="han")
    system.look("staff-made")
    assert han.role == ""

    security.come_in(mei)
    security.visit(reverse("admin:accounts_staff_grant", args=[han.pk]), "grant")
    security.page.get_by_label("角色").select_option("registrar")
    security.page.get_by_label("院区").select_option("main")
    security.page.get_by_label("安全标记").select_option(label="直接标识")
    security.page.get_by_label("理由").fill("入职")
    security.press("提交申请")
    security.look("grant-asked")
    [asked] = Proposal.objects.all()
    system.visit(reverse("admin:audit_proposal_decision", args=[asked.pk]), "decision")
    system.press("批准")
    system.look("decided")

    asked.refresh_from_db()
    assert asked.state == Proposal.State.APPROVED


def test_the_policy_ends_at_its_floor(seat, mei):
    desk = seat()
    desk.plug_in_a_key()
    desk.show_password(mei)
    desk.press("安全密钥")
    desk.look("key")
    desk.press("绑定")
    desk.press("已经保存，去工作台")
    page = reverse("admin:accounts_policychoice_change", args=["SESSION_IDLE_MINUTES"])
    desk.open(f"{reverse('step-up')}?next={page}")
    desk.look("step-up-key")
    desk.press("使用安全密钥")
    desk.look("policy-change")

    for value, is_kept in ((10, True), (600, False)):
        desk.open(page)
        desk.page.get_by_label("新的值").fill(str(value))
        desk.page.get_by_label("原因").fill("试行")
        desk.press("修改")
        desk.look(f"policy-{value}")
        kept = PolicyChoice.objects.filter(key="SESSION_IDLE_MINUTES", value=value).exists()
        assert kept == is_kept


@pytest.mark.parametrize("name", ["lin", "mei", "zhou", "chen", "gu"])
def test_every_page_of_a_role_is_whole(seat, request, failed_visit, name):
    failed_visit()
    enter(ZHANG, by=request.getfixturevalue("sun"))
    desk = seat()
    desk.come_in(request.getfixturevalue(name))

    seen = walk(desk, name)

    assert len(seen) > 3
    assert Consent.objects.exists()
