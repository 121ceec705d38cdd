"""安全事件 and 影响评估 in a real browser: read by axe-core, whole when narrow."""

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from hospital.patients import viewing
from hospital.privacy import assessing, scale
from hospital.privacy.incidents import affected
from hospital.privacy.models import Incident
from tests.browser.desk import expect
from tests.hospital.test_incidents import patients


def test_an_incident_goes_its_way_and_every_page_of_it_is_whole(seat, gu, chen):
    viewing.looked(patients(60), shown=viewing.NAMED, by=chen, at=timezone.now())
    found = timezone.localtime(timezone.now() - timedelta(minutes=90))
    desk = seat(gu)

    desk.visit(reverse("admin:privacy_incident_changelist"), "incidents-none")
    desk.press("登记安全事件")
    desk.look("incident-open")
    desk.page.fill("#id_found_at", f"{found:%Y-%m-%dT%H:%M}")
    desk.page.fill("#id_summary", "有人拍摄屏幕")
    desk.press("登记事件")
    desk.look("incident-unclassified")
    expect(desk.page.locator(".clocks")).to_contain_text("已逾期")
    desk.page.get_by_label("较大").check()
    desk.page.fill("#id_measures", "已停用账号")
    desk.press("确认定级")
    desk.look("incident-classified")

    desk.press("查询受影响的患者")
    desk.page.fill("#id_since", f"{found:%Y-%m-%dT%H:%M}")
    desk.page.fill("#id_until", f"{found + timedelta(hours=2):%Y-%m-%dT%H:%M}")
    desk.press("查询")
    desk.look("incident-asking")
    (waiting,) = affected.due(at=timezone.now())
    affected.find(waiting, clock=timezone.now)
    desk.press("显示结果：60 名患者")
    desk.look("incident-affected")
    expect(desk.page.locator("#content")).to_contain_text("涉及 60 名患者")
    desk.press("后面的患者")
    expect(desk.page.locator("#content ul li")).to_have_count(10)

    incident = Incident.objects.get()
    for who in ("police", "subjects"):
        desk.visit(reverse("admin:privacy_incident_paper", args=[incident.pk, who]), f"paper-{who}")
    desk.visit(reverse("admin:privacy_incident_close", args=[incident.pk]), "incident-close")
    desk.visit(reverse("admin:index"), "privacy-home")
    desk.visit(reverse("admin:privacy_incident_changelist"), "incidents")


def test_an_assessment_is_registered_and_every_page_of_it_is_whole(seat, gu, notice):
    scale.count(at=timezone.now())
    desk = seat(gu)

    desk.visit(reverse("admin:privacy_assessment_register"), "assessment-register")
    desk.page.fill("#id_reference", "医信〔2026〕12 号")
    desk.page.fill("#id_digest", "a" * 64)
    desk.press("登记并生效")
    desk.look("assessment")
    standing = assessing.in_force(at=timezone.now())
    desk.visit(reverse("admin:privacy_assessment_end", args=[standing.pk]), "assessment-end")
    desk.visit(reverse("admin:privacy_assessment_changelist"), "assessments")
    desk.visit(reverse("admin:index"), "home-assessed")
