"""The desk sees who has not reached the hospital's own system, and has them sent again."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from faceauth import withdrawal
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.his import reasons
from hospital.patients import enrolment
from hospital.patients.enrolment import Person
from hospital.patients.models import HandOff
from hospital.roles import May
from tests.conftest import recorded

PAGE = "desk:handoffs"
State = HandOff.State


@pytest.fixture
def patient(db):
    with transaction.atomic():
        found, _ = enrolment.enrol(
            Person("张三", 1, "11010119900307002X"), accounts={}, campus="main", at=timezone.now()
        )
    return found


def handoff(patient, **fields):
    now = timezone.now()
    return HandOff.objects.create(
        **{"patient": patient, "state": State.DEAD, "created_at": now, "code": "invalid"} | fields
    )


def page(staff):
    client = Client()
    client.force_login(staff)
    return client.get(reverse(PAGE))


def replay(staff, one):
    client = Client()
    client.force_login(staff)
    return client.post(reverse("desk:handoff-replay", args=[one.pk]), follow=True)


def test_a_registrar_reads_why_and_what_to_do(patient, chen):
    handoff(patient, code="not_unique")

    said = page(chen).content.decode()

    assert patient.number in said
    assert "HIS 中有多份档案使用同一患者编号" in said
    assert "张三" not in said


def test_what_waits_for_long_is_shown_and_what_is_fresh_is_not(patient, chen):
    one = handoff(patient, state=State.WAITING, code="unreachable", attempts=3)
    assert patient.number not in page(chen).content.decode()

    HandOff.objects.filter(pk=one.pk).update(created_at=timezone.now() - timedelta(minutes=16))

    assert "连不上 HIS" in page(chen).content.decode()


def test_a_button_sends_again(patient, chen):
    one = handoff(patient)

    with recorded():
        answer = replay(chen, one)

    assert "已重新移交" in answer.content.decode()
    one.refresh_from_db()
    assert (one.state, one.attempts) == (State.WAITING, 0)
    assert Event.objects.filter(action=Action.HANDOFF_REPLAY.value.tag).count() == 1


def test_pressed_twice_it_is_sent_once(patient, chen):
    one = handoff(patient)
    replay(chen, one)

    assert "刚刚处理过" in replay(chen, one).content.decode()


def test_who_took_their_consent_back_is_shown_and_not_sent(patient, chen):
    withdrawal.withdraw(patient, by=chen, at=timezone.now())
    one = handoff(patient, code="consent_withdrawn")

    assert "患者已撤回同意，已停止移交" in page(chen).content.decode()
    assert "不能重新移交" in replay(chen, one).content.decode()


def test_the_other_campus_knows_nothing_of_it(patient, wu):
    one = handoff(patient)

    assert patient.number not in page(wu).content.decode()
    assert replay(wu, one).status_code == 404


def test_without_the_right_there_is_no_page(patient, lin, gu):
    for person in (lin, gu):
        assert not person.may(May.HANDLE_HANDOFFS)
        assert page(person).status_code == 403


def test_looking_changes_nothing(patient, chen):
    one = handoff(patient)
    client = Client()
    client.force_login(chen)

    assert client.get(reverse("desk:handoff-replay", args=[one.pk])).status_code == 405


def test_who_was_erased_is_nobodys_work(patient, chen):
    handoff(patient, code=HandOff.ERASED)

    assert patient.number not in page(chen).content.decode()


def test_who_was_sent_later_is_nobodys_work(patient, chen):
    handoff(patient)
    handoff(patient, state=State.DONE, code="")

    assert patient.number not in page(chen).content.decode()


def test_the_board_names_who_was_not_sent(patient, chen):
    handoff(patient)
    client = Client()
    client.force_login(chen)

    said = client.get(reverse("admin:index")).content.decode()

    assert "未送达 HIS" in said
    assert patient.number in said


def test_a_reason_nobody_foresaw_is_quoted():
    assert "http_418" in reasons.told("http_418").why
