"""查看明文: who may, for how long, how often; and that it is on record before it is seen."""

import threading
from datetime import timedelta

import pytest
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from hospital import policy, stepup
from hospital.accounts.models import PolicyChoice
from hospital.audit import alarms
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.labels import Label, NotCleared
from hospital.patients import enrolment, revealing
from hospital.patients.models import Likeness, Patient, Reveal
from hospital.patients.revealing import (
    DaySpent,
    Erased,
    Field,
    HourSpent,
    NothingToShow,
    Purpose,
    StepUpNeeded,
)

NAME, NUMBER = "张三", "11010119900307002X"
CLEAR = {
    Field.REAL_NAME: NAME,
    Field.DOCUMENT_NUMBER: NUMBER,
    Field.BIRTH_DATE: "1990-03-07",
}


@pytest.fixture(autouse=True)
def forgotten():
    policy.forget()
    yield
    policy.forget()


@pytest.fixture
def patient(db):
    known = enrolment.Person(NAME, 1, NUMBER)
    return enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())[0]


def reveal(patient, by, what=Field.REAL_NAME, *, is_fresh=True, at=None):
    now = at or timezone.now()
    asked = revealing.reveal(patient.pk, what, Purpose.IDENTITY, by=by, is_fresh=is_fresh, at=now)
    return asked.value


def set_policy(**values):
    for key, value in values.items():
        PolicyChoice.objects.update_or_create(
            key=key, defaults={"value": value, "set_at": timezone.now()}
        )
    policy.forget()


def told(action="patient.reveal"):
    return list(Event.objects.filter(action=action).order_by("pk"))


@pytest.mark.parametrize("what", Field)
def test_a_field_is_shown_in_clear_and_on_record_without_its_value(patient, chen, what):
    assert reveal(patient, chen, what) == CLEAR[what]

    [event] = told()
    assert (event.actor_id, event.object_id) == (str(chen.pk), str(patient.pk))
    assert f'"field":"{what.value}"' in event.payload
    assert '"purpose":"identity"' in event.payload
    assert CLEAR[what] not in event.payload


def test_a_right_is_needed(patient, gu):
    gu.clearance = Label.IDENTIFYING

    with pytest.raises(PermissionDenied):
        reveal(patient, gu)


def test_a_right_without_the_clearance_reveals_nothing(patient, chen):
    chen.clearance = Label.SENSITIVE

    with pytest.raises(NotCleared):
        reveal(patient, chen)


def test_another_campus_does_not_know_the_patient(patient, wu):
    with pytest.raises(Patient.DoesNotExist):
        reveal(patient, wu)


def test_who_has_not_shown_that_it_is_them_sees_nothing(patient, chen):
    with pytest.raises(StepUpNeeded):
        reveal(patient, chen, is_fresh=False)

    assert not told()
    assert not Reveal.objects.exists()


def test_the_campus_is_asked_before_the_second_factor(patient, wu):
    with pytest.raises(Patient.DoesNotExist):
        reveal(patient, wu, is_fresh=False)


def test_what_is_not_there_is_said_and_counts_nothing(db, chen):
    known = enrolment.Person("Ann Lee", 2, "E12345678")
    patient = enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())[0]

    with pytest.raises(NothingToShow):
        reveal(patient, chen, Field.BIRTH_DATE)
    assert not Reveal.objects.exists()


def test_who_was_forgotten_stays_forgotten(patient, chen):
    keyring.destroy(patient.pk)

    with pytest.raises(Erased):
        reveal(patient, chen)
    assert not told()


def test_too_many_in_an_hour_are_stopped_and_an_alarm(patient, chen, sun):
    set_policy(REVEAL_STOP_HOUR=3)
    now = timezone.now()
    for n in range(3):
        reveal(patient, chen, at=now + timedelta(minutes=n))

    with pytest.raises(HourSpent):
        reveal(patient, chen, at=now + timedelta(minutes=4))

    assert len(told()) == 3
    [stop] = told("patient.reveal_quota")
    assert (stop.outcome, stop.actor_id) == ("denied", str(chen.pk))
    assert '"code":"stop_hour"' in stop.payload
    alarms.watch(at=now + timedelta(minutes=5))
    finding = Finding.objects.get(kind="reveal-quota")
    assert (finding.severity, finding.facts["actor_id"]) == ("alert", str(chen.pk))
    assert reveal(patient, sun, at=now + timedelta(minutes=4)) == NAME


def test_after_an_hour_there_is_quota_again_but_not_past_the_days(patient, chen):
    set_policy(REVEAL_STOP_HOUR=2, REVEAL_STOP_DAY=3)
    now = timezone.now()
    for minutes in (0, 1, 62):
        reveal(patient, chen, at=now + timedelta(minutes=minutes))

    with pytest.raises(DaySpent):
        reveal(patient, chen, at=now + timedelta(hours=5))

    assert reveal(patient, chen, at=now + timedelta(hours=25, minutes=3)) == NAME


def test_from_the_warning_line_on_the_page_says_so_and_the_trail_once_an_hour(patient, chen):
    set_policy(REVEAL_WARN_HOUR=2)
    now = timezone.now()

    much = [
        revealing.reveal(
            patient.pk,
            Field.REAL_NAME,
            Purpose.IDENTITY,
            by=chen,
            is_fresh=True,
            at=now + timedelta(minutes=n),
        ).is_much
        for n in range(4)
    ]

    assert much == [False, True, True, True]
    [warning] = told("patient.reveal_quota")
    assert '"code":"warn"' in warning.payload
    alarms.watch(at=now + timedelta(minutes=5))
    assert not Finding.objects.filter(kind="reveal-quota").exists()


def test_thirty_in_an_hour_are_a_finding_whatever_the_policy(patient, chen):
    set_policy(REVEAL_WARN_HOUR=60)
    now = timezone.now()
    for n in range(30):
        reveal(patient, chen, at=now + timedelta(seconds=n))

    alarms.watch(at=now + timedelta(minutes=1))

    assert Finding.objects.get(kind="reveals").facts["count"] == 30


def test_what_counts_no_more_is_dropped(patient, chen):
    now = timezone.now()
    reveal(patient, chen, at=now)

    reveal(patient, chen, at=now + timedelta(days=3))

    assert Reveal.objects.get().at == now + timedelta(days=3)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_windows_at_once_do_not_get_past_the_quota(patient, chen):
    set_policy(REVEAL_STOP_HOUR=1)
    policy.value("REVEAL_STOP_HOUR")
    together, shown, refused = threading.Barrier(4), [], []

    def window():
        together.wait()
        try:
            shown.append(reveal(patient, chen))
        except HourSpent as exc:
            refused.append(exc)
        finally:
            connection.close()

    windows = [threading.Thread(target=window) for _ in range(4)]
    for one in windows:
        one.start()
    for one in windows:
        one.join()

    assert shown == [NAME]
    assert len(refused) == 3


# The page


@pytest.fixture
def desk(client, chen):
    client.force_login(chen)
    return client


@pytest.fixture
def fresh(desk):
    session = desk.session
    stepup.stamp(session, at=timezone.now())
    session.save()


def ask(desk, patient, **data):
    body = {"field": "real_name", "purpose": "identity", **data}
    return desk.post(reverse("desk:reveal", args=[patient.pk]), body)


def test_no_page_has_the_value_before_it_is_asked_for(desk, patient):
    shown = desk.get(reverse("desk:patient", args=[patient.pk])).text

    assert "*三" in shown
    assert not [value for value in CLEAR.values() if value in shown]
    [event] = told("patient.view")
    assert event.object_id == str(patient.pk)


def test_a_long_history_costs_no_more_queries(desk, patient, sun):
    page, now = reverse("desk:patient", args=[patient.pk]), timezone.now()
    twins = [
        enrolment.enrol(enrolment.Person(NAME, 2, f"E{n}"), accounts={}, campus=campus, at=now)[0]
        for n, campus in enumerate(["main", "main", "east"])
    ]
    patient.identifications.create(method="manual", evidence="original", by=sun.pk, at=now)
    Likeness.objects.create(kind="exact", first=patient, second=twins[0], found_at=now)
    desk.get(page)

    with CaptureQueriesContext(connection) as few:
        desk.get(page)
    for twin in twins[1:]:
        patient.identifications.create(method="manual", evidence="copy", by=sun.pk, at=now)
        Likeness.objects.create(
            kind="exact", state="linked", first=patient, second=twin, found_at=now
        )
    with CaptureQueriesContext(connection) as many:
        shown = desk.get(page).text

    assert len(many) == len(few)
    assert twins[1].number in shown
    assert "其他院区的档案" in shown
    assert twins[2].number not in shown
    assert "核对证件原件 · sun（sun）" in shown


def test_another_campus_has_no_such_page(client, wu, patient):
    client.force_login(wu)

    assert client.get(reverse("desk:patient", args=[patient.pk])).status_code == 404
    assert ask(client, patient).status_code == 404


def test_the_answer_has_the_value_a_time_and_whose_screen_it_is(desk, patient, fresh):
    answer = ask(desk, patient)

    told = answer.json()
    assert (told["value"], told["seconds"], told["warning"]) == (NAME, 30, "")
    assert told["mark"].startswith("chen 20")
    assert "no-store" in answer["Cache-Control"]


def test_who_was_not_asked_lately_is_sent_to_show_that_it_is_them(desk, patient):
    answer = ask(desk, patient)

    assert answer.status_code == 401
    assert answer.json()["code"] == "step_up"
    assert reverse("step-up") in answer.json()["go_to"]
    assert NAME not in answer.text


@pytest.mark.parametrize("data", [{"purpose": ""}, {"purpose": "fun"}, {"field": "openid"}])
def test_without_a_purpose_or_for_another_field_nothing_is_shown(desk, patient, fresh, data):
    assert ask(desk, patient, **data).status_code == 400
    assert not told()


def test_who_was_erased_has_nothing_to_reveal_correct_or_print(desk, patient, fresh):
    keyring.destroy(patient.pk)

    shown = desk.get(reverse("desk:patient", args=[patient.pk])).text

    assert "已依法删除" in shown
    for act in ("reveal", "correct", "slip"):
        assert reverse(f"desk:{act}", args=[patient.pk]) not in shown
    answer = ask(desk, patient)
    assert (answer.status_code, answer.json()["code"]) == (409, "erased")
    assert "go_to" not in answer.json()


def test_of_other_campuses_a_page_says_that_they_are_and_no_more(client, chen, gu, wu, patient):
    here = timezone.now()
    east, west = here - timedelta(days=40), here - timedelta(days=20)
    Patient.objects.filter(pk=patient.pk).update(created_at=east)
    patient.attendances.create(campus="east", since=east)
    patient.identifications.create(method="manual", evidence="copy", by=wu.pk, at=east)
    patient.identifications.create(method="wechat_face", at=west)
    address = reverse("desk:patient", args=[patient.pk])
    client.force_login(chen)
    mine = client.get(address).text
    client.force_login(gu)
    whole = client.get(address).text

    assert "其他院区" in mine
    assert "由其他院区建档" in mine
    assert f"{timezone.localtime(here):%Y-%m-%d}" in mine
    for told in (
        settings.CAMPUSES["east"],
        f"{timezone.localtime(east):%Y-%m-%d}",
        f"{timezone.localtime(west):%Y-%m-%d}",
        "证件复印件",
        "wu（wu）",
    ):
        assert told not in mine
        assert told in whole


def test_what_a_campus_did_itself_it_sees_beside_another(desk, chen, patient):
    patient.attendances.create(campus="east", since=timezone.now())
    patient.identifications.create(method="manual", evidence="copy", by=chen.pk, at=timezone.now())

    shown = desk.get(reverse("desk:patient", args=[patient.pk])).text

    assert "证件复印件 · chen（chen）" in shown
    assert "微信刷脸实名" in shown
    assert "由其他院区建档" not in shown


def test_a_spent_quota_is_told_in_a_sentence(desk, patient, fresh):
    set_policy(REVEAL_STOP_HOUR=1)
    ask(desk, patient)

    answer = ask(desk, patient)

    assert "go_to" not in answer.json()
    assert (answer.status_code, answer.json()["code"]) == (429, "stop_hour")
    assert "已达上限" in answer.json()["detail"]


def test_no_address_reveals_anything(desk, patient, fresh):
    assert desk.get(reverse("desk:reveal", args=[patient.pk])).status_code == 405
