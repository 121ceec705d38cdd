"""What a patient carries away on paper, and who printed it."""

import re

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.desk import slips
from hospital.desk.slips import Paper
from hospital.patients import enrolment

NAME, NUMBER = "欧阳小英", "11010119900307002X"


@pytest.fixture
def patient(db):
    known = enrolment.Person(NAME, 1, NUMBER)
    return enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())[0]


def slip(client, staff, patient, **query):
    client.force_login(staff)
    return client.get(reverse("desk:slip", args=[patient.pk]), query)


def test_a_slip_has_the_number_and_nothing_that_says_who_it_is(client, chen, patient):
    shown = slip(client, chen, patient).text

    assert patient.number in shown
    assert "欧**英" in shown
    assert "本部" in shown
    assert NAME not in shown
    assert NUMBER not in shown
    assert NUMBER[-2:] + "<" not in shown


def test_the_code_reads_as_the_number(patient):
    made = slips.make(patient, campus="main", at=timezone.now())

    assert made.code == slips.qr.svg(patient.number, title="患者编号二维码")
    assert patient.number not in made.code


def test_who_printed_is_on_record(client, chen, patient):
    slip(client, chen, patient, paper="a4")

    event = Event.objects.get(action="patient.print")
    assert (event.actor_id, event.object_id) == (str(chen.pk), str(patient.pk))
    assert '"format":"a4"' in event.payload


def test_of_who_was_erased_nothing_is_printed(client, chen, patient):
    keyring.destroy(patient.pk)

    answer = slip(client, chen, patient)

    assert answer.status_code == 409
    assert "该患者的信息已依法删除，不能打印凭条" in answer.text
    assert "<article" not in answer.text
    assert not Event.objects.filter(action="patient.print").exists()


def test_a_name_that_does_not_open_is_not_printed_as_a_sentence(client, chen, patient):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE patients_patient SET real_name = %s", [b"\xfe" + bytes(68)])

    assert slip(client, chen, patient).status_code == 409


def test_a_paper_nobody_has_is_a_receipt(client, chen, patient):
    assert "slip-receipt" in slip(client, chen, patient, paper="<b>").text


def test_another_campus_prints_nothing(client, wu, patient):
    assert slip(client, wu, patient).status_code == 404
    assert not Event.objects.filter(action="patient.print").exists()


def test_only_who_registers_patients_prints(client, gu, patient):
    assert slip(client, gu, patient).status_code == 403


@pytest.mark.parametrize("paper", Paper.values)
def test_a_printer_is_tried_with_nobodys_slip(client, chen, patient, paper):
    client.force_login(chen)

    shown = client.get(reverse("desk:test-page"), {"paper": paper}).text

    assert f"slip-{paper}" in shown
    assert len(re.findall("<line ", shown)) == Paper(paper).printable + 1
    assert not Event.objects.filter(action="patient.print").exists()


def test_nothing_on_paper_needs_a_style_of_its_own(client, chen, patient):
    assert " style=" not in slip(client, chen, patient).text
