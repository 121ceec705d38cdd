"""影响评估: without one in force, on these very purposes, nobody is asked for their face."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from faceauth.models import Consent, FaceSession, Notice
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM
from hospital.privacy import assessing, tasks
from hospital.privacy.models import Assessment
from tests.conftest import recorded

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 2, 9, tzinfo=SHANGHAI)
PURPOSES = [{"code": "onboarding", "label": "建立档案", "required": True}]


def approve(reference="PIA-1", *, by=SYSTEM, at=NOW, review=NOW + timedelta(days=90), **changed):
    given = {"digest": "a" * 64, "notice_version": 1, "purposes": PURPOSES, **changed}
    return assessing.approve(reference, review_on=timezone.localdate(review), by=by, at=at, **given)


def is_assessed(at, purposes=PURPOSES):
    try:
        assessing.demand_assessed(purposes, at=at)
    except assessing.NotAssessed:
        return False
    return True


def tags():
    return [*Event.objects.order_by("pk").values_list("action", flat=True)]


def agree(kiosk, *, granted=True):
    body = {
        "notice_version": kiosk.get("notice/").json()["version"],
        "granted": granted,
        "purposes": ["onboarding"] if granted else [],
    }
    return kiosk.post("face-sessions/", body)


def test_without_an_assessment_nobody_is_asked_for_their_face(kiosk, notice, merchant, simulator):
    Assessment.objects.all().delete()

    answer = agree(kiosk)

    assert (answer.status_code, answer.json()["code"]) == (409, "not_assessed")
    assert "人工窗口" in answer.json()["detail"]
    assert not FaceSession.objects.exists()
    assert not Consent.objects.exists()
    assert simulator.journal.after("")["entries"] == []


def test_a_refusal_is_noted_all_the_same(kiosk, notice, merchant):
    Assessment.objects.all().delete()

    answer = agree(kiosk, granted=False)

    assert (answer.status_code, answer.json()["state"]) == (201, "refused")


def test_with_one_the_terminal_goes_on(kiosk, notice, merchant):
    assert agree(kiosk).status_code == 201


def test_a_notice_of_other_purposes_stops_the_terminals_until_it_is_assessed(
    kiosk, notice, merchant, gu
):
    wider = [*notice.purposes, {"code": "follow_up", "label": "随访", "required": False}]
    Notice.objects.create(
        version=4, title="新", text="…", purposes=wider, fallback="…", in_force_from=timezone.now()
    )
    assert agree(kiosk).json()["code"] == "not_assessed"

    now = timezone.now()
    approve("PIA-4", by=gu, at=now, review=now, notice_version=4, purposes=wider)

    assert agree(kiosk).status_code == 201


def test_a_notice_with_a_new_text_and_the_same_purposes_is_carried(kiosk, notice, merchant):
    Notice.objects.create(
        version=4,
        title="新",
        text="换了说法",
        purposes=notice.purposes,
        fallback="…",
        in_force_from=timezone.now(),
    )

    assert agree(kiosk).status_code == 201


def test_the_same_purpose_in_other_words_is_another(db):
    approve()

    assert is_assessed(NOW)
    assert not is_assessed(NOW, [{"code": "onboarding", "label": "建立档案和营销"}])
    assert not is_assessed(NOW, [*PURPOSES, {"code": "research", "label": "科研"}])


def test_an_assessment_of_more_purposes_carries_fewer(db):
    approve(purposes=[*PURPOSES, {"code": "research", "label": "科研"}])

    assert is_assessed(NOW)


def test_its_review_day_is_its_last_by_the_clock_on_the_wall(db):
    approve(review=NOW + timedelta(days=90))
    midnight = datetime(2026, 6, 1, tzinfo=SHANGHAI)

    assert is_assessed(midnight - timedelta(seconds=1))  # 31 May
    assert not is_assessed(midnight)
    assert not is_assessed(NOW - timedelta(seconds=1))


def test_what_was_not_assessed_anew_in_time_ends_once_and_on_record(db):
    assessment = approve(review=NOW + timedelta(days=1))
    after = datetime(2026, 3, 4, 0, 5, tzinfo=SHANGHAI)

    assert assessing.end_due(at=after - timedelta(minutes=10)) == 0
    with recorded():
        assert assessing.end_due(at=after) == 1
    assert assessing.end_due(at=after + timedelta(days=1)) == 0

    assessment.refresh_from_db()
    assert assessment.ended_at == after
    assert tags() == ["assessment.approve", "assessment.end"]


def test_the_task_ends_what_is_due(db):
    approve(review=NOW)

    tasks.attend_to_assessments.apply()

    assert Assessment.objects.get().ended_at is not None


@pytest.mark.parametrize(
    ("review", "refusal"),
    [
        (NOW - timedelta(days=1), assessing.ReviewPast),
        (datetime(2027, 3, 3, tzinfo=SHANGHAI), assessing.ReviewTooFar),
    ],
)
def test_it_is_looked_at_again_within_a_year(db, review, refusal):
    with pytest.raises(refusal):
        approve(review=review)
    approve(review=datetime(2027, 3, 2, tzinfo=SHANGHAI))


def test_another_takes_its_place_in_the_same_moment(gu):
    first = approve(by=gu)

    with recorded():
        second = approve("PIA-2", by=gu, at=NOW + timedelta(days=1))

    first.refresh_from_db()
    assert first.ended_at == second.approved_at
    assert assessing.in_force(at=NOW + timedelta(days=1)) == second
    assert assessing.in_force(at=NOW) == first
    assert second.approved_by == gu.pk


def test_a_number_is_registered_once(gu):
    approve(by=gu)

    with pytest.raises(assessing.AlreadyRegistered):
        approve(by=gu)


def test_it_can_be_ended_once(gu):
    assessment = approve(by=gu)

    assessing.end(assessment, "incident", by=gu, at=NOW + timedelta(hours=1))

    assert is_assessed(NOW)
    assert not is_assessed(NOW + timedelta(hours=1))
    with pytest.raises(assessing.AlreadyEnded):
        assessing.end(assessment, "incident", by=gu, at=NOW + timedelta(hours=2))


def test_thirty_days_ahead_somebody_is_told(db):
    approve(review=NOW + timedelta(days=90))
    day = NOW + timedelta(days=60)

    assert not assessing.to_review(at=day - timedelta(days=1)).exists()
    assert assessing.to_review(at=day).exists()
