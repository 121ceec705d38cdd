"""The desk sees what a patient agreed to, on one page, and takes it back there."""

import json
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from faceauth import connection, onboarding
from faceauth.models import Consent, FaceSession
from hospital.audit.models import Event
from hospital.patients import enrolment
from hospital.patients.models import Patient, Registration, WechatAccount
from tests import signing_in
from tests.conftest import recorded


def seated(person, *, fresh=False):
    client = Client()
    client.force_login(person)
    if fresh:
        signing_in.step_up(client, person)
    return client


def page_of(patient):
    return reverse("desk:consents", args=[patient.pk])


@pytest.fixture
def patient(authorized):
    """A stranger who was onboarded at the kiosk a moment ago."""
    onboarding.onboard(authorized.pk, client_for=connection.identity_client, clock=timezone.now)
    return Patient.objects.get()


def test_everything_said_is_on_one_page_and_reading_it_is_on_record(patient, notice, chen):
    shown = seated(chen).get(page_of(patient)).content.decode()

    for said in ("第 3 版", "刷脸建档告知书", "建立档案", "门诊楼 大厅", notice.digest,
                 notice.digest_sm3, "患者本人"):  # fmt: skip
        assert said in shown
    assert "科研" not in shown
    event = Event.objects.get(action="consent.view")
    assert json.loads(event.payload)["facts"] == {
        "count": 1,
        "subjects": [str(patient.pk)],
        "shown": ["consents", "guardian_relation"],
    }
    assert event.actor_id == str(chen.pk)


def test_a_no_is_there_as_well_if_it_led_to_the_desk(patient, kiosk, notice, chen):
    body = {"notice_version": 3, "granted": False, "purposes": []}
    refused = kiosk.post("face-sessions/", body).json()["id"]
    Registration.objects.create(
        state="done", cause="refused", evidence="original", campus="main", document_type=1,
        session=refused, patient=patient, entered_by=chen.pk, entered_at=timezone.now(),
    )  # fmt: skip

    assert "不同意" in seated(chen).get(page_of(patient)).content.decode()


def test_the_desk_takes_it_back(patient, chen):
    desk = seated(chen, fresh=True)

    with recorded():
        answer = desk.post(page_of(patient))

    assert answer.headers["Location"] == page_of(patient)
    given = Consent.objects.get()
    assert given.withdrawn_by == chen.pk
    assert not WechatAccount.objects.exists()
    shown = desk.get(page_of(patient)).content.decode()
    assert "已撤回" in shown
    assert "撤回同意</button>" not in shown
    assert Patient.objects.get().real_name


def test_who_did_not_just_show_it_is_them_takes_nothing_back(patient, chen):
    answer = seated(chen).post(page_of(patient))

    assert answer.headers["Location"].startswith(reverse("step-up"))
    assert Consent.objects.get().withdrawn_at is None


def test_who_guards_privacy_reads_it_and_no_more(patient, gu):
    desk = seated(gu, fresh=True)

    assert "撤回同意</button>" not in desk.get(page_of(patient)).content.decode()
    assert desk.post(page_of(patient)).status_code == 403
    assert Consent.objects.get().withdrawn_at is None


def test_others_do_not(patient, wu, zhou, lin):
    assert seated(wu).get(page_of(patient)).status_code == 404
    assert seated(zhou).get(page_of(patient)).status_code == 403
    assert seated(lin).get(page_of(patient)).status_code == 403


def test_who_never_used_the_face_has_said_nothing(db, chen):
    person = enrolment.Person("李四", 2, "E1")
    patient, _ = enrolment.enrol(person, accounts={}, campus="main", at=timezone.now())

    shown = seated(chen).get(page_of(patient)).content.decode()

    assert "没有同意记录" in shown
    assert "撤回同意</button>" not in shown


def test_a_visit_of_before_is_taken_back_as_well(patient, chen):
    """Its row does not say whose it is; its visit does."""
    Consent.objects.update(patient=None)

    seated(chen, fresh=True).post(page_of(patient))

    given = Consent.objects.get()
    assert given.withdrawn_at is not None
    assert given.patient == patient.pk
    assert FaceSession.objects.get().state == "onboarded"


@pytest.mark.parametrize(
    ("by", "said"), [(None, "患者本人在终端"), (uuid4(), "工作人员（账号已不存在）")]
)
def test_who_took_it_back_is_said_also_where_the_account_is_gone(patient, chen, by, said):
    Consent.objects.update(withdrawn_at=timezone.now(), withdrawn_by=by)

    assert said in seated(chen).get(page_of(patient)).content.decode()
