"""Two records that may be one person: found by the system, judged by people, never merged."""

from dataclasses import replace
from datetime import date

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from stdnum.iso7064 import mod_11_2
from structlog.testing import capture_logs

from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from hospital.patients import enrolment, likenesses
from hospital.patients.enrolment import Person
from hospital.patients.models import Likeness, Patient
from tests.conftest import recorded

ZHANG = Person("张三", 1, "11010119900307002X")
PASSPORT = Person("张三", 2, "E12345678", date(1990, 3, 7))


def enrol(person, *, campus="main", **accounts):
    return enrolment.enrol(person, accounts=accounts, campus=campus, at=timezone.now())[0]


@pytest.fixture
def pair(db):
    """张三 with the ID card, and 张三 of the same day with a passport."""
    enrol(ZHANG)
    enrol(PASSPORT)
    return Likeness.objects.get()


def decide(act, pair, by):
    act(pair, by=by, at=timezone.now())


def test_a_face_of_the_same_name_and_birth_date_is_noted(db):
    first = enrol(ZHANG)
    with recorded():
        second = enrol(replace(ZHANG, document_number=other_number()))
        # What makes a patient is recorded by the caller.
        record_onboard(second)

    pair = Likeness.objects.get()
    assert (pair.first, pair.second, pair.kind, pair.state) == (first, second, "exact", "open")


def other_number():
    body = "11010119900307077"
    return body + mod_11_2.calc_check_digit(body)


def record_onboard(patient):
    with transaction.atomic():
        record(Action.PATIENT_ONBOARD, by=SYSTEM, on=patient, at=timezone.now())


def test_another_birth_date_is_another_person(db):
    enrol(ZHANG)
    enrol(replace(PASSPORT, birth_date=date(1990, 3, 8)))

    assert not Likeness.objects.exists()


def test_a_wechat_account_that_moves_is_noted_too(db):
    first = enrol(ZHANG, wx1="o-shared")
    second = enrol(Person("李四", 2, "E7654321"), wx1="o-shared")

    pair = Likeness.objects.get()
    assert (pair.first, pair.second, pair.kind) == (first, second, "account")


def test_a_pair_is_one_whichever_way_it_is_found(pair, chen):
    again = likenesses.note(
        pair.second, pair.first, kind=Likeness.Kind.ACCOUNT, by=chen, at=timezone.now()
    )

    assert again == pair
    assert Event.objects.filter(action="likeness.find").count() == 1


def test_linked_and_unlinked_both_records_are_what_they_were(pair, chen):
    before = [(one.number, one.real_name, one.document_number) for one in Patient.objects.all()]

    with recorded():
        decide(likenesses.link, pair, chen)
        assert pair.state == "linked"
        decide(likenesses.unlink, pair, chen)

    assert (pair.state, pair.decided_by) == ("open", chen.pk)
    after = [(one.number, one.real_name, one.document_number) for one in Patient.objects.all()]
    assert after == before
    tags = Event.objects.on(pair).order_by("id").values_list("action", flat=True)
    assert list(tags) == ["likeness.find", "likeness.link", "likeness.unlink"]
    said = stated.facts(Event.objects.get(action="likeness.link").payload)
    assert said == {"patients": sorted([str(pair.first_id), str(pair.second_id)])}


@pytest.mark.parametrize(
    ("acts", "late"),
    [
        (["link"], "link"),
        (["link"], "apart"),
        ([], "unlink"),
        (["apart"], "apart"),
        (["apart"], "unlink"),
    ],
)
def test_who_is_later_is_told(pair, chen, sun, acts, late):
    for act in acts:
        decide(getattr(likenesses, act), pair, chen)
    state = pair.state

    with pytest.raises(likenesses.Decided):
        decide(getattr(likenesses, late), pair, sun)

    pair.refresh_from_db()
    assert pair.state == state


def test_those_said_to_be_apart_can_be_linked_after_all(pair, chen):
    decide(likenesses.apart, pair, chen)

    decide(likenesses.link, pair, chen)

    assert pair.state == "linked"


def test_one_half_known_here_is_enough_to_see_the_pair(db, chen, wu):
    enrol(ZHANG, campus="main")
    enrol(PASSPORT, campus="main")
    third = enrol(replace(ZHANG, document_number=other_number()), campus="east")

    assert likenesses.seen_by(chen).count() == 3
    seen = likenesses.seen_by(wu)
    assert seen.count() == 2
    assert all(third in {one.first, one.second} for one in seen)


# The pages


def at_desk(person):
    client = Client()
    client.force_login(person)
    return client


def test_the_list_and_the_pair_show_both_masked(pair, chen):
    desk = at_desk(chen)

    page = desk.get(reverse("desk:likenesses")).content.decode()
    assert page.count("*三") >= 2
    page = desk.get(reverse("desk:likeness", args=[pair.pk])).content.decode()
    assert pair.first.number in page
    assert "张三" not in page
    assert "19900307" not in page


def test_of_another_campus_only_what_helps_to_compare(db, wu):
    hidden, own = enrol(ZHANG, campus="main"), enrol(PASSPORT, campus="east")
    pair = Likeness.objects.get()

    page = at_desk(wu).get(reverse("desk:likeness", args=[pair.pk])).content.decode()

    assert own.number in page
    assert hidden.number not in page
    assert reverse("desk:patient", args=[hidden.pk]) not in page
    assert "其他院区的档案" in page
    assert "******2X" not in page
    assert "******2X" not in at_desk(wu).get(reverse("desk:likenesses")).content.decode()


def test_a_pair_of_another_campus_is_not_there(pair, wu):
    assert at_desk(wu).get(reverse("desk:likeness", args=[pair.pk])).status_code == 404


def test_the_page_links_and_unlinks(pair, chen):
    desk, address = at_desk(chen), reverse("desk:likeness", args=[pair.pk])

    desk.post(address, {"decision": "link"})
    pair.refresh_from_db()
    assert pair.state == "linked"
    assert "解除关联" in desk.get(address).content.decode()
    desk.post(address, {"decision": "unlink"})

    pair.refresh_from_db()
    assert pair.state == "open"


def test_the_list_asks_no_more_of_many_than_of_one(
    pair, chen, django_assert_max_num_queries, django_assert_num_queries
):
    desk = at_desk(chen)
    address = reverse("desk:likenesses")
    desk.get(address)
    with django_assert_max_num_queries(60) as one:
        desk.get(address)
    enrol(replace(ZHANG, document_number=other_number()))

    with django_assert_num_queries(len(one)):
        desk.get(address)


def test_without_a_decision_nothing_is_decided_and_no_bug_is_reported(pair, chen):
    desk = at_desk(chen)
    with capture_logs() as lines:
        answer = desk.post(reverse("desk:likeness", args=[pair.pk]), {})

    pair.refresh_from_db()
    assert (answer.status_code, pair.state) == (400, "open")
    assert {line["event"] for line in lines} == {"request"}


def test_only_registrars_have_the_list(gu, zhou):
    for person in (gu, zhou):
        assert at_desk(person).get(reverse("desk:likenesses")).status_code == 403
