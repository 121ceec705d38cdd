"""A guardian agrees for a child under fourteen, at the desk, and is somebody."""

import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from stdnum.iso7064 import mod_11_2

from faceauth import consent, guardianship
from faceauth.models import Consent
from hospital.audit.models import Event
from hospital.patients import enrolment, guardians
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import Guardian, Identification, Patient
from hospital.patients.registering import Implausible
from hospital.patients.restriction import Restricted
from tests.conftest import recorded
from tests.hospital.test_registering import form as a_form

SHANGHAI = ZoneInfo("Asia/Shanghai")
MOTHER = Person("李四", DocumentType.RESIDENT, "11010119900307002X")


def citizen(born, order=1):
    body = f"110101{born}{order:03}"
    return body + mod_11_2.calc_check_digit(body)


def a_patient(born, *, name="张小宝", order=1):
    person = Person(name, DocumentType.RESIDENT, citizen(born, order))
    return enrolment.enrol(person, accounts={}, campus="main", at=timezone.now())[0]


@pytest.fixture
def child(db):
    return a_patient("20200229")


def agree(child, guardian=MOTHER, *, by, at=None, purposes=("onboarding",), **how):
    return guardianship.agree_for_child(
        child,
        guardian,
        relation=Guardian.Relation.PARENT,
        evidence=how.get("evidence", Identification.Evidence.GUARDIAN),
        purposes=purposes,
        by=by,
        at=at or timezone.now(),
    )


def seated(person):
    client = Client()
    client.force_login(person)
    return client


def test_what_a_guardian_agrees_to_is_on_record(child, notice, chen):
    with recorded():
        given = agree(child, by=chen)

    who = Guardian.objects.get()
    assert (given.patient, given.guardian, given.by) == (child.pk, who.pk, chen.pk)
    assert (given.notice_digest, given.purposes) == (notice.digest, ["onboarding"])
    assert (who.real_name, who.document_number) == (MOTHER.real_name, MOTHER.document_number)
    event = Event.objects.get(action="consent.guardian")
    assert MOTHER.document_number not in event.payload
    assert json.loads(event.payload)["facts"]["guardian"] == str(who.pk)


@pytest.mark.parametrize(
    ("born", "turns"),
    [
        ("20200229", datetime(2034, 3, 1, tzinfo=SHANGHAI)),  # 2034 has no 29 February
        ("20160229", datetime(2030, 3, 1, tzinfo=SHANGHAI)),
        ("20120228", datetime(2026, 2, 28, tzinfo=SHANGHAI)),
        ("20101231", datetime(2024, 12, 31, tzinfo=SHANGHAI)),
        ("20140229", None),  # no such day
    ],
)
def test_fourteen_is_counted_to_the_day_by_our_own_calendar(db, born, turns):
    patient = a_patient(born)
    if turns is None:
        assert not guardians.is_child(patient, at=timezone.now())
        return

    assert guardians.is_child(patient, at=turns - timedelta(days=1))
    assert guardians.is_child(patient, at=turns - timedelta(seconds=1))
    assert not guardians.is_child(patient, at=turns)
    assert not guardians.is_child(patient, at=turns + timedelta(days=1))


@pytest.mark.parametrize(
    ("guardian", "refused"),
    [
        (Person("李四", DocumentType.RESIDENT, "110101199003070021"), Implausible),
        (Person("张小宝", DocumentType.RESIDENT, citizen("20200229")), guardians.NotOfAge),
    ],
)
def test_a_guardian_is_somebody_of_age(child, notice, chen, guardian, refused):
    with pytest.raises(refused):
        agree(child, guardian, by=chen)

    assert not Guardian.objects.exists()
    assert not Consent.objects.exists()


def test_who_is_seventeen_is_nobodys_guardian(child, notice, chen):
    new_years_day = f"{timezone.localdate().year - 17}0101"
    sister = Person("李四", DocumentType.RESIDENT, citizen(new_years_day))

    with pytest.raises(guardians.NotOfAge):
        agree(child, sister, by=chen)

    assert not Guardian.objects.exists()
    assert not Consent.objects.exists()


def test_nobody_is_guardian_by_word_alone(child, notice, chen):
    with pytest.raises(guardians.Unshown):
        agree(child, by=chen, evidence=Identification.Evidence.STATED)


def test_a_guardian_too_agrees_to_what_is_needed(child, notice, chen):
    with pytest.raises(consent.PurposesIncomplete):
        agree(child, by=chen, purposes=["research"])

    assert not Guardian.objects.exists()


def test_who_is_fourteen_needs_none(notice, chen):
    with pytest.raises(guardians.NotAChild):
        agree(a_patient("19900307", name="张三"), by=chen)


def test_to_a_restricted_record_nothing_is_added(child, notice, chen):
    Patient.objects.update(restricted_at=timezone.now())
    child.refresh_from_db()

    with pytest.raises(Restricted):
        agree(child, by=chen)


def test_a_child_is_not_their_own_guardian(notice, chen):
    """Under a document that does not say when its holder was born, and another birth date."""
    passport = {"document_type": DocumentType.PASSPORT, "document_number": "E12345678"}
    today = timezone.localdate()
    own = Person("张小宝", **passport, birth_date=today - timedelta(days=6 * 365))
    child = enrolment.create(own, at=timezone.now())[0]
    older = Person("张小宝", **passport, birth_date=today - timedelta(days=30 * 366))

    with pytest.raises(guardians.OwnGuardian):
        agree(child, older, by=chen)

    assert not Guardian.objects.exists()


# At the desk

FORM = {
    "relation": "parent",
    "kind": "1",
    "number": MOTHER.document_number,
    "name": MOTHER.real_name,
    "born": "",
    "evidence": "guardian",
}


def test_nothing_is_ticked_for_a_guardian(child, notice, chen):
    shown = seated(chen).get(reverse("desk:guardian", args=[child.pk])).content.decode()

    assert "建立档案（必要）" in shown
    assert "checked" not in shown


def test_a_guardian_agrees_at_the_desk(child, notice, chen):
    page = reverse("desk:guardian", args=[child.pk])

    without = seated(chen).post(page, FORM)
    agreed = seated(chen).post(page, FORM | {"purposes": ["onboarding"]})

    assert "没有同意必要的处理目的" in without.content.decode()
    assert agreed.headers["Location"] == reverse("desk:consents", args=[child.pk])
    assert Consent.objects.get().guardian == Guardian.objects.get().pk
    history = seated(chen).get(agreed.headers["Location"]).content.decode()
    assert "监护人同意" in history
    assert "父母" in history
    assert MOTHER.document_number not in history


def test_the_desk_of_another_campus_does_not_know_the_child(child, notice, wu):
    assert seated(wu).get(reverse("desk:guardian", args=[child.pk])).status_code == 404


def test_after_a_child_is_registered_its_guardian_is_asked(notice, chen):
    typed = a_form(cause="child", number=citizen("20200229"), name="张小宝", guardian="on")

    answer = seated(chen).post(reverse("desk:register"), typed)

    page = reverse("desk:guardian", args=[Patient.objects.get().pk])
    assert answer.headers["Location"] == page


def test_whatever_brought_a_child_a_guardian_is_asked_for(notice, chen):
    typed = a_form(cause="failed", number=citizen("20200229"), name="张小宝", guardian="on")

    answer = seated(chen).post(reverse("desk:register"), typed)

    page = reverse("desk:guardian", args=[Patient.objects.get().pk])
    assert answer.headers["Location"] == page
