"""A week in numbers: counted right, made once, read by the auditor."""

import json
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from hospital.audit import analysis
from hospital.audit.actions import Action
from hospital.audit.findings import Finding, Review
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record

pytestmark = pytest.mark.django_db

LOCAL = ZoneInfo("Asia/Shanghai")
WEEK = date(2025, 6, 2)  # a Monday
MONDAY = datetime(2025, 6, 2, tzinfo=LOCAL)
AFTER = MONDAY + timedelta(days=7, hours=6)


def wrote(count, action, *, by, on=None, at=MONDAY + timedelta(hours=10), **facts):
    with transaction.atomic():
        for _ in range(count):
            record(action, by=by, on=on, at=at, **facts)


@pytest.fixture
def busy(lin, chen, kiosk):
    """Two weeks of a small house."""
    wrote(3, Action.LOGIN, by=lin)
    wrote(2, Action.LOGIN, by=lin, at=MONDAY + timedelta(days=6, hours=23))
    wrote(4, Action.ACCESS_DENIED, by=chen, outcome="denied", route="x", suppressed=0)
    wrote(5, Action.SESSION_EXPIRE, by=SYSTEM)
    wrote(1, Action.TERMINAL_ACTIVATE, by=kiosk.terminal, on=kiosk.terminal)
    wrote(1, Action.AUDIT_VERIFY, by=SYSTEM, findings=0)
    wrote(1, Action.AUDIT_VERIFY, by=SYSTEM, outcome="failed", findings=2)
    wrote(2, Action.LOGIN, by=lin, at=MONDAY - timedelta(microseconds=1))
    wrote(7, Action.LOGIN, by=lin, at=MONDAY + timedelta(days=7))
    wrote(9, Action.LOGIN, by=lin, at=MONDAY - timedelta(days=7, microseconds=1))


def test_a_week_is_counted_from_midnight_to_midnight(busy):
    counts = analysis.make(WEEK, at=AFTER).counts

    assert counts["this"]["total"] == 17
    assert counts["before"]["total"] == 2
    assert counts["this"]["actions"]["auth.login"] == 5
    assert counts["this"]["outcomes"] == {"success": 12, "denied": 4, "failed": 1}
    assert counts["this"]["actors"] == {"staff": 9, "system": 7, "terminal": 1}


def test_what_staff_do_at_night_is_told_apart(busy):
    week = analysis.make(WEEK, at=AFTER).counts["this"]

    assert (week["staff"], week["off_hours"]) == (9, 2)


def test_denials_terminals_and_verifications_are_named(busy, chen):
    week = analysis.make(WEEK, at=AFTER).counts["this"]

    assert week["denials"] == [
        {"action": "access.denied", "actor_type": "staff", "actor_id": str(chen.pk), "count": 4}
    ]
    assert week["new_terminals"] == 1
    assert week["verified"] == {"success": 1, "failed": 1}


def test_the_analysis_is_made_once_and_on_record(busy):
    [first] = analysis.make_due(at=AFTER)
    again = analysis.make_due(at=AFTER + timedelta(hours=1))

    assert first.week == WEEK
    assert again == []
    assert analysis.make(WEEK, at=AFTER) is None
    [event] = Event.objects.filter(action="review.make")
    assert json.loads(event.payload)["facts"] == {"week": "2025-06-02", "count": 17}


@pytest.mark.parametrize("days", [7, 8, 13])
def test_a_week_is_due_from_its_end_to_the_next(days, lin):
    wrote(1, Action.LOGIN, by=lin)

    [review] = analysis.make_due(at=MONDAY + timedelta(days=days, minutes=1))

    assert review.week == WEEK


def test_weeks_in_which_nobody_asked_are_made_up_for(busy):
    analysis.make_due(at=AFTER)

    made = analysis.make_due(at=AFTER + timedelta(days=21))

    assert [review.week for review in made] == [WEEK + timedelta(days=7 * n) for n in (1, 2, 3)]
    assert made[0].counts["this"]["total"] == 8  # seven logins, and that the week before was made
    assert analysis.make_due(at=AFTER + timedelta(days=21, hours=1)) == []


def test_years_are_made_up_for_half_a_year_at_a_time(busy):
    analysis.make_due(at=AFTER)

    made = analysis.make_due(at=AFTER + timedelta(days=1000))

    assert len(made) == 26
    assert made[0].week == WEEK + timedelta(days=7)


def test_before_there_was_anything_no_week_is_due(lin):
    wrote(1, Action.LOGIN, by=lin, at=MONDAY + timedelta(days=7))

    assert analysis.make_due(at=AFTER) == []


def test_an_empty_week_is_a_week():
    assert analysis.make(WEEK, at=AFTER).counts["this"]["total"] == 0


@pytest.fixture
def desk(zhou):
    desk = Client()
    desk.force_login(zhou)
    return desk


def shown(desk, review):
    return desk.get(reverse("admin:audit_review_change", args=[review.pk]))


def test_the_page_compares_with_the_week_before(busy, desk):
    tables = shown(desk, analysis.make(WEEK, at=AFTER)).context["tables"]

    lines = {line.name: line for _, lines, _ in tables for line in lines}
    assert (lines["登录"].now, lines["登录"].before, lines["登录"].change) == (5, 2, "+150%")
    assert lines["越权访问被拒绝"].change == "新出现"
    assert lines["其中夜间（22 点至 6 点）"].now == 2


def test_the_page_of_an_old_week_does_not_call_it_this_week(busy, desk):
    page = shown(desk, analysis.make(WEEK, at=AFTER)).text

    assert "该周" in page
    assert "本周" not in page
    assert "占比" not in page  # the bars compare the lines of a table


def test_the_page_shows_the_weeks_findings_with_their_disposition(desk):
    review = analysis.make(WEEK, at=AFTER)
    for at, note in ((MONDAY, "已核实"), (AFTER, "下一周")):
        Finding.objects.create(
            kind="silence", key=note, severity="alert", at=at, state="explained", note=note
        )

    page = shown(desk, review).text

    assert "平时有业务的时段没有任何留痕" in page
    assert "已核实，正常" in page
    assert "下一周" not in page


def test_the_auditor_signs_once_and_on_record(desk, zhou):
    review = analysis.make(WEEK, at=AFTER)
    sign = reverse("admin:audit_review_sign", args=[review.pk])

    empty = desk.post(sign, {"conclusion": ""})
    first = desk.post(sign, {"conclusion": "无异常"}, follow=True)
    second = desk.post(sign, {"conclusion": "再看一次"}, follow=True)

    review.refresh_from_db()
    assert "errorlist" in empty.text
    assert (review.conclusion, review.reviewed_by) == ("无异常", zhou.pk)
    assert "已审阅" in first.text
    assert "这一周的分析已经审阅过" in second.text
    [event] = Event.objects.filter(action="review.sign")
    assert json.loads(event.payload)["reason"] == "无异常"


def test_a_conclusion_reverses_no_reading(desk):
    review = analysis.make(WEEK, at=AFTER)

    desk.post(reverse("admin:audit_review_sign", args=[review.pk]), {"conclusion": "无\u202e常异"})

    review.refresh_from_db()
    assert review.conclusion == "无\ufffd常异"


@pytest.mark.parametrize("name", ["lin", "mei", "chen", "gu"])
def test_nobody_else_reads_or_signs(request, name):
    review = analysis.make(WEEK, at=AFTER)
    other = Client()
    other.force_login(request.getfixturevalue(name))

    read = shown(other, review)
    signed = other.post(reverse("admin:audit_review_sign", args=[review.pk]), {"conclusion": "x"})

    assert (read.status_code, signed.status_code) == (403, 403)
    assert not Review.objects.exclude(reviewed_at=None).exists()


def test_forged_events_stop_no_analysis(desk):
    us = int(MONDAY.timestamp() * 1_000_000) + 1
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (uid, payload, mac, mac_key) VALUES (%s, %s, %s, 1)",
            ["7" * 32, f'{{"t":{us},"action":"张三 x","outcome":"denied"}}', b"x"],
        )

    review = analysis.make(WEEK, at=AFTER)

    assert review.counts["this"]["total"] == 1
    assert "张三" not in json.dumps(review.counts, ensure_ascii=False)
    assert shown(desk, review).status_code == 200
