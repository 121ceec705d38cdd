"""安全事件 and 影响评估 as those who answer for them work with them."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital.audit.models import Event
from hospital.audit.stated import facts
from hospital.patients import viewing
from hospital.privacy import assessing, scale, tasks
from hospital.privacy.admin.incident_story import span
from hospital.privacy.incidents import affected, classifying, notifying, opening
from hospital.privacy.models import Assessment, Incident, Notification
from tests import signing_in
from tests.conftest import assess
from tests.hospital.test_incidents import patients

HOME = "admin:index"
LEVELS = Incident.Level


def at_desk(person, *, fresh=False):
    client = Client()
    client.force_login(person)
    if fresh:
        signing_in.step_up(client, person)
    return client


def local(at):
    return f"{timezone.localtime(at):%Y-%m-%dT%H:%M}"


def page(incident, name, *more):
    return reverse(f"admin:privacy_incident_{name}", args=[incident.pk, *more])


def found(by, *, ago=timedelta(minutes=10), **given):
    now = timezone.now()
    given = {"summary": "有人拍摄屏幕", "found_at": now - ago, **given}
    return opening.open_(Incident.Kind.LEAK, by=by, at=now, **given)


def text(answer):
    return answer.content.decode()


# Incidents


def test_an_incident_goes_its_way_from_page_to_page(gu):
    desk, began = at_desk(gu, fresh=True), timezone.now() - timedelta(minutes=30)
    form = {"kind": "leak", "found_at": local(began), "summary": "有人拍摄屏幕"}

    desk.post(reverse("admin:privacy_incident_open"), form)
    incident = Incident.objects.get()
    desk.post(page(incident, "classify"), {"level": "general", "measures": "已停用账号"})
    shown = text(desk.get(page(incident, "change")))
    assert "一般" in shown
    assert shown.count("还剩") == 3
    for one in incident.notifications.all():
        desk.post(page(incident, "told", one.recipient), {"reference": "电话"})
    desk.post(page(incident, "close"), {"conclusion": "已查明"})

    incident.refresh_from_db()
    assert (incident.state, incident.closed_by) == (Incident.State.CLOSED, gu.pk)
    assert "确认定级" not in text(desk.get(page(incident, "change")))


@pytest.mark.parametrize("about", ["11010119900307002X 的档案", "手机 13800138000"])
def test_what_is_said_of_an_incident_has_nobodys_number_in_it(gu, about):
    found_at = local(timezone.now() - timedelta(minutes=30))
    form = {"kind": "leak", "found_at": found_at, "summary": about}

    told = text(at_desk(gu, fresh=True).post(reverse("admin:privacy_incident_open"), form))

    assert "看起来有证件号码或手机号码" in told
    assert not Incident.objects.exists()


def test_before_it_is_classified_the_page_says_by_when_the_worst_is_due(gu):
    incident = found(gu)

    shown = text(at_desk(gu).get(page(incident, "change")))

    four = timezone.localtime(incident.found_at + timedelta(hours=4))
    assert f"网信部门 {four:%m-%d %H:%M} 前" in shown


def test_a_clock_that_has_run_out_is_told_as_that_everywhere(gu):
    incident = found(gu, ago=timedelta(hours=1, minutes=5))

    desk = at_desk(gu)
    assert "已逾期 5 分" in text(desk.get(page(incident, "change")))
    assert f"{incident} 逾期未报告" in text(desk.get(reverse(HOME)))
    one = incident.notifications.get()
    notifying.told(one, reference="", by=gu, at=timezone.now())
    assert "已报告，逾期 5 分" in text(desk.get(page(incident, "change")))


def test_a_drill_is_marked_on_every_page(gu):
    drill = found(gu, ago=timedelta(hours=2), is_drill=True)
    classifying.classify(drill, LEVELS.LARGER, by=gu, at=timezone.now())
    desk = at_desk(gu, fresh=True)

    pages = [
        page(drill, "change"),
        page(drill, "affected"),
        page(drill, "close"),
        reverse("admin:privacy_incident_changelist"),
        reverse(HOME),
        *(page(drill, "paper", who) for who in Notification.Recipient.values),
    ]
    assert all("演练" in text(desk.get(one)) for one in pages)
    real = found(gu)
    assert "演练" not in text(desk.get(page(real, "paper", "police")))


@pytest.mark.parametrize("who", Notification.Recipient.values)
def test_each_paper_can_be_printed(gu, who):
    incident = found(gu)

    shown = text(at_desk(gu).get(page(incident, "paper", who)))

    assert incident.number in shown
    assert "data-print-key" in shown


def test_there_is_no_paper_for_anybody_else(gu):
    assert at_desk(gu).get(page(found(gu), "paper", "press")).status_code == 404


def test_whose_records_it_is_about_is_shown_to_whoever_guards_privacy_alone(gu, mei, chen):
    incident, (one, two) = found(gu), patients(2)
    viewing.looked([one, two], shown=viewing.NAMED, by=chen, at=timezone.now())
    ahead = timezone.now() + timedelta(minutes=2)
    asked = {
        "since": local(timezone.now() - timedelta(hours=1)),
        "until": local(ahead),
        "actor_type": "staff",
        "actor": "chen",
    }

    begun = text(at_desk(gu, fresh=True).post(page(incident, "affected"), asked, follow=True))
    assert "正在查询" in begun
    assert "涉及" not in begun
    tasks.attend_to_incidents()
    [pk] = affected.due(at=timezone.now())
    tasks.find_affected(inquiry_id=str(pk))
    refreshed = at_desk(gu, fresh=True).get(
        page(incident, "affected"), headers={"X-Desk-Refresh": "1"}
    )
    assert "显示结果：2 名患者" in text(refreshed)
    assert not Event.objects.filter(action="patient.view", actor_id=str(gu.pk)).exists()
    shown = text(at_desk(gu, fresh=True).get(page(incident, "affected")))
    of_mei = text(at_desk(mei, fresh=True).get(page(incident, "affected")))

    assert "涉及 2 名患者" in shown
    assert "P00****001" in shown
    assert one.number not in shown
    assert reverse("admin:patients_patient_change", args=[two.pk]) in shown
    assert "涉及 2 名患者" in of_mei
    assert "P00****001" not in of_mei
    looks = Event.objects.filter(action="patient.view", actor_id=str(gu.pk))
    assert [facts(event.payload)["count"] for event in looks] == [2]


def test_an_unknown_number_is_nobodys(gu):
    incident = found(gu)
    now = timezone.now()
    asked = {"since": local(now - timedelta(hours=1)), "until": local(now), "actor": "nobody"}

    shown = at_desk(gu, fresh=True).post(
        page(incident, "affected"), {**asked, "actor_type": "terminal"}
    )

    assert "没有这个工号或序列号" in text(shown)
    incident.refresh_from_db()
    assert incident.affected is None


def test_asking_and_closing_take_a_second_factor(gu):
    incident = found(gu)

    for name in ("affected", "close"):
        answer = at_desk(gu).get(page(incident, name))
        assert answer.url.startswith(reverse("step-up"))


def test_what_is_refused_is_said(gu):
    incident = found(gu)

    shown = text(
        at_desk(gu, fresh=True).post(page(incident, "close"), {"conclusion": "好"}, follow=True)
    )

    assert "请先定级" in shown


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(seconds=59), "不到 1 分钟"),
        (timedelta(minutes=59), "59 分"),
        (timedelta(hours=3, minutes=20), "3 小时 20 分"),
        (timedelta(hours=71), "2 天 23 小时"),
    ],
)
def test_a_length_of_time_is_said_as_people_say_it(length, said):
    assert span(length) == said


# Assessments


def register(desk, notice, **changed):
    form = {
        "reference": "PIA-2026-1",
        "digest": "A" * 64,
        "notice": str(notice.pk),
        "review_on": f"{timezone.localdate() + timedelta(days=90)}",
    }
    return desk.post(reverse("admin:privacy_assessment_register"), form | changed, follow=True)


def test_an_assessment_is_registered_and_ended_by_whoever_guards_privacy(gu, notice):
    desk = at_desk(gu, fresh=True)

    assert "已登记并生效" in text(register(desk, notice))
    made = Assessment.objects.get(reference="PIA-2026-1")
    assert (made.digest, made.notice_version, made.approved_by) == ("a" * 64, 3, gu.pk)
    assert assessing.in_force(at=timezone.now()) == made
    ending = reverse("admin:privacy_assessment_end", args=[made.pk])
    desk.post(ending, {"code": "incident"})

    assert assessing.in_force(at=timezone.now()) is None
    assert "终端不能刷脸" in text(desk.get(reverse(HOME)))


def test_what_is_wrong_with_an_assessment_is_said(gu, notice):
    desk = at_desk(gu, fresh=True)
    far = f"{timezone.localdate() + timedelta(days=400)}"

    assert "十二个月" in text(register(desk, notice, review_on=far))
    assert "PIA-2026-1" not in Assessment.objects.values_list("reference", flat=True)
    assert register(desk, notice, digest="short").status_code == 200
    assert Assessment.objects.count() == 1


def test_the_home_page_says_which_is_in_force_and_which_ends_before_long(gu, notice):
    desk = at_desk(gu)

    assert "PIA-3" in text(desk.get(reverse(HOME)))
    Assessment.objects.update(review_on=timezone.localdate() + timedelta(days=29))
    assert "请重新评估" in text(desk.get(reverse(HOME)))


def test_a_notice_that_is_not_carried_is_told_of(gu, notice):
    notice.purposes = [*notice.purposes, {"code": "more", "label": "更多", "required": False}]
    notice.save()

    desk = at_desk(gu)
    assert "未评估的处理目的" in text(desk.get(reverse(HOME)))
    assessment = assessing.in_force(at=timezone.now())
    shown = text(desk.get(reverse("admin:privacy_assessment_change", args=[assessment.pk])))
    assert "请重新评估" in shown


def test_the_home_page_says_of_how_many_people_data_is_here(gu, monkeypatch):
    desk = at_desk(gu)
    assert "尚未统计" in text(desk.get(reverse(HOME)))
    monkeypatch.setattr(scale, "MARKS", (scale.Mark(2, "两个人了"),))
    patients(2)

    scale.count(at=timezone.now())

    shown = text(desk.get(reverse(HOME)))
    assert "2 人" in shown
    assert "两个人了" in shown


def test_an_assessment_has_a_page_even_of_the_demo(gu, notice):
    Assessment.objects.all().delete()
    made = assess(notice, at=timezone.now())

    shown = text(at_desk(gu).get(reverse("admin:privacy_assessment_change", args=[made.pk])))

    assert "系统（演示）" in shown
