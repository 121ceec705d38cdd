"""安全标记: a right does not stand in for a clearance, nor a clearance for a right."""

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from faceauth.models import FaceSession
from hospital import labels
from hospital.accounts.models import Staff
from hospital.audit.models import Event
from hospital.labels import LABELS, Label, NotCleared
from hospital.patients import enrolment
from hospital.patients.models import Patient
from hospital.roles import ADMINISTRATORS, May
from tests.hospital.aged import HERE

PAGES = ["admin:patients_patient_changelist", "admin:faceauth_facesession_changelist"]


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


@pytest.fixture
def patient(db):
    person = enrolment.Person("李四", 2, "E1")
    return enrolment.enrol(person, accounts={}, campus="main", at=timezone.now())[0]


@pytest.fixture
def uncleared(chen):
    """A registrar by role, whom nobody cleared."""
    Staff.objects.filter(pk=chen.pk).update(clearance=Label.INTERNAL)
    chen.refresh_from_db()
    return chen


def at_desk(person):
    client = Client()
    client.force_login(person)
    return client


@pytest.mark.parametrize("page", PAGES)
def test_the_role_alone_opens_no_list(uncleared, patient, page):
    assert uncleared.may(May.VIEW_PATIENTS)

    answer = at_desk(uncleared).get(reverse(page))

    assert answer.status_code == 403
    assert patient.number not in answer.content.decode()


def test_nor_the_page_of_one(uncleared, patient):
    address = reverse("admin:patients_patient_change", args=[patient.pk])

    assert at_desk(uncleared).get(address).status_code == 403


@pytest.mark.parametrize("page", PAGES)
def test_who_is_not_cleared_is_on_record(uncleared, page):
    at_desk(uncleared).get(reverse(page))

    [event] = Event.objects.filter(action="access.denied")
    assert event.actor_id == str(uncleared.pk)
    assert page.removeprefix("admin:") in event.payload
    assert not Event.objects.filter(action="patient.view").exists()


@pytest.mark.parametrize("page", PAGES)
def test_cleared_for_masked_is_enough_for_lists(chen, patient, page):
    Staff.objects.filter(pk=chen.pk).update(clearance=Label.SENSITIVE)
    chen.refresh_from_db()

    assert at_desk(chen).get(reverse(page)).status_code == 200


def test_the_querysets_ask_as_well(uncleared):
    for rows in (Patient.objects, FaceSession.objects):
        with pytest.raises(NotCleared):
            rows.seen_by(uncleared)


@pytest.mark.parametrize("who", ["lin", "mei", "zhou"])
def test_a_clearance_is_no_right(who, request):
    person = request.getfixturevalue(who)
    person.clearance = Label.IDENTIFYING  # which the database would refuse

    labels.demand(person, "patients.patient")
    assert not person.may(May.VIEW_PATIENTS)


@pytest.mark.parametrize("role", ADMINISTRATORS)
def test_the_database_clears_no_administrator(chen, role):
    rows = Staff.objects.filter(pk=chen.pk)

    with pytest.raises(IntegrityError), transaction.atomic():
        rows.update(role=role, clearance=Label.SENSITIVE)
    rows.update(role=role, clearance=Label.INTERNAL)


@pytest.mark.parametrize("what", sorted(LABELS))
def test_below_its_label_nothing_is_shown_and_at_it_everything(chen, what):
    chen.clearance = LABELS[what] - 1
    with pytest.raises(NotCleared):
        labels.demand(chen, what)

    chen.clearance = LABELS[what]
    labels.demand(chen, what)


def test_nobody_at_all_is_not_cleared(db):
    with pytest.raises(NotCleared):
        labels.demand(None, "patients.patient")


def test_the_page_of_an_account_changes_neither_role_nor_reach(lin, chen):
    address = reverse("admin:accounts_staff_change", args=[chen.pk])
    form = {"username": "chen", "display_name": "chen", "person_id": chen.person_id}

    sent = {"is_active": "on", "clearance": "2", "campus": "east", "role": "privacy"}
    at_desk(lin).post(address, form | sent)

    chen.refresh_from_db()
    assert (chen.clearance, chen.campus) == (Label.IDENTIFYING, "main")
    assert chen.role == "registrar"
