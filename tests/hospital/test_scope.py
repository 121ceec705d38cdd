"""A registrar knows of who came to their own campus: in lists, by address, and in counts."""

import pytest
from django.db import connection as database_in_use
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from devices.models import Store
from faceauth import connection, onboarding, sighting
from faceauth.models import FaceSession
from hospital.accounts.models import Staff
from hospital.audit.models import Event
from hospital.patients import enrolment
from hospital.patients.attendance import attend
from hospital.patients.models import Attendance, Patient
from tests.hospital.aged import HERE

# Terminals come on connections of their own.
pytestmark = pytest.mark.django_db(transaction=database_in_use.vendor == "postgresql")


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


def at_desk(person):
    client = Client()
    client.force_login(person)
    return client


def patient_at(campus, number="E1", name="李四"):
    person = enrolment.Person(name, 2, number)
    return enrolment.enrol(person, accounts={}, campus=campus, at=timezone.now())[0]


def page(thing):
    meta = thing._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[thing.pk])


def opened(person, thing):
    """Return the page somebody ends up on."""
    return at_desk(person).get(page(thing), follow=True).content.decode()


def change_list(model):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def test_who_is_enrolled_is_known_where_they_stood(seen, kiosk, store):
    Store.objects.filter(pk=store.pk).update(campus="east")
    kiosk.post(f"face-sessions/{seen.pk}/authorization/", {"return_code": "SUCCESS"})

    onboarding.onboard(seen.pk, client_for=connection.identity_client, clock=timezone.now)

    patient = Patient.objects.get()
    assert list(patient.attendances.values_list("campus", flat=True)) == ["east"]


def test_who_is_recognised_elsewhere_is_known_there_as_well(kiosk, notice, merchant):
    patient = patient_at("east")
    opened = FaceSession.objects.get(pk=kiosk.agree())

    sighting.recognise(opened, patient, by=opened.terminal, at=timezone.now())

    assert set(patient.attendances.values_list("campus", flat=True)) == {"east", "main"}


def test_a_second_visit_adds_nothing(db):
    patient = patient_at("main")

    assert not attend(patient, campus="main", at=timezone.now())
    assert patient_at("main") == patient
    assert Attendance.objects.count() == 1


def test_each_campus_sees_its_own_patients_and_both_who_came_to_both(chen, sun, wu):
    ours, theirs = patient_at("main", "E1"), patient_at("east", "E2")
    both = patient_at("main", "E3")
    attend(both, campus="east", at=timezone.now())

    def seen_by(staff):
        return set(Patient.objects.seen_by(staff))

    assert seen_by(chen) == seen_by(sun) == {ours, both}
    assert seen_by(wu) == {theirs, both}


def test_a_registrar_without_a_campus_sees_nobody(chen):
    patient_at("main")
    chen.campus = ""

    assert not Patient.objects.seen_by(chen).exists()
    assert not FaceSession.objects.seen_by(chen).exists()


def test_whoever_answers_for_all_patients_sees_them_all(gu):
    patient_at("main", "E1")
    patient_at("east", "E2")

    assert Patient.objects.seen_by(gu).count() == 2


def test_the_patient_of_another_campus_does_not_exist(chen, wu):
    patient = patient_at("east")

    assert patient.number not in opened(chen, patient)
    assert patient.number not in at_desk(chen).get(change_list(Patient)).content.decode()
    assert patient.number in opened(wu, patient)
    looked = Event.objects.filter(action="patient.view").values_list("actor_id", flat=True)
    assert set(looked) == {str(wu.pk)}


def test_nobody_is_found_by_asking_the_list_in_another_way(chen):
    patient = patient_at("east")
    client = at_desk(chen)

    for question in (f"?id__exact={patient.pk}", "?attendances__campus=east", "?p=1"):
        answer = client.get(change_list(Patient) + question)
        assert patient.number not in answer.content.decode()


def test_the_visit_at_another_campus_does_not_exist(seen, store, chen, wu):
    Store.objects.filter(pk=store.pk).update(campus="east")

    assert "同意告知书" not in opened(chen, seen)
    assert str(seen.pk)[-8:] not in at_desk(chen).get(change_list(FaceSession)).content.decode()
    assert "同意告知书" in opened(wu, seen)


def test_who_changes_campus_sees_the_new_one_only(chen):
    ours, theirs = patient_at("main", "E1"), patient_at("east", "E2")
    client = at_desk(chen)
    Staff.objects.filter(pk=chen.pk).update(campus="east")
    assert client.get(page(ours)).url.startswith("/admin/login/")

    chen.refresh_from_db()
    assert ours.number not in opened(chen, ours)
    assert theirs.number in opened(chen, theirs)


def test_what_a_terminal_does_names_the_patient_it_makes_known(kiosk, notice, merchant):
    patient = patient_at("east")
    opened = FaceSession.objects.get(pk=kiosk.agree())

    sighting.recognise(opened, patient, by=opened.terminal, at=timezone.now())

    [event] = Event.objects.filter(action="session.recognise")
    assert str(patient.pk) in event.payload
