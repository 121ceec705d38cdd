"""Of how many people data is here: counted daily, and said once of each number that counts."""

from datetime import timedelta

import pytest
from django.utils import timezone

from hospital.audit.models import Event
from hospital.audit.stated import facts
from hospital.patients.documents import DocumentType
from hospital.patients.models import Patient
from hospital.privacy import scale, tasks
from hospital.privacy.models import Erasure
from hospital.privacy.scale import Mark

NOW = timezone.now()
MARKS = (Mark(2, "两人"), Mark(3, "三人"), Mark(5, "五人"))


@pytest.fixture(autouse=True)
def low_marks(monkeypatch):
    monkeypatch.setattr(scale, "MARKS", MARKS)


def come(count):
    there = Patient.objects.count()
    return [
        Patient.objects.create(
            number=f"P{there + n:09}",
            real_name="张三",
            document_type=DocumentType.RESIDENT,
            document_number=f"11010119900307{there + n:04}",
            created_at=NOW,
        )
        for n in range(count)
    ]


def said():
    events = Event.objects.filter(action="scale.reached").order_by("pk")
    return [facts(event.payload) for event in events]


def test_the_law_counts_a_hundred_thousand_and_a_million(monkeypatch):
    monkeypatch.undo()

    assert [mark.limit for mark in scale.MARKS] == [80_000, 100_000, 900_000, 1_000_000]


def test_a_number_is_said_once_when_it_is_reached(db):
    come(1)
    assert scale.count(at=NOW).reached == ()

    come(1)
    scale.count(at=NOW)
    scale.count(at=NOW + timedelta(days=1))

    assert said() == [{"count": 2, "limit": 2}]


def test_two_that_are_passed_in_one_day_are_both_said(db):
    come(4)

    standing = scale.count(at=NOW)

    assert [one["limit"] for one in said()] == [2, 3]
    assert standing.reached == MARKS[:2]
    assert standing.ahead == MARKS[2]


def test_who_was_forgotten_does_not_count_and_fewer_undo_nothing(db):
    first, *_ = come(3)
    scale.count(at=NOW)
    Erasure.objects.create(
        subject=first.pk,
        cause=Erasure.Cause.REQUEST,
        state=Erasure.State.DONE,
        decided_at=NOW,
        due_at=NOW,
    )

    standing = scale.count(at=NOW)
    assert (standing.count, standing.reached) == (2, MARKS[:2])

    come(1)
    scale.count(at=NOW)
    assert [one["limit"] for one in said()] == [2, 3]


def test_pages_read_what_was_counted_and_know_when_nobody_has(db):
    come(2)

    assert scale.standing(NOW).counted_at is None
    assert scale.standing(NOW).is_stale
    tasks.count_people.apply()
    standing = scale.standing(timezone.now())
    assert (standing.count, standing.is_stale) == (2, False)
    assert scale.standing(timezone.now() + timedelta(days=3)).is_stale


def test_a_page_counts_nothing(db, django_assert_num_queries):
    with django_assert_num_queries(1):
        scale.standing(NOW)
