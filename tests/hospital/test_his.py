"""The hospital's own system is told of each patient: once, whatever fails in between."""

import json
import logging
import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.conf import settings as project
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from faceauth import withdrawal
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from hospital.crypto import data_keys, keyring
from hospital.his import catching_up, client, sending, tasks
from hospital.patients import correcting, enrolment, handing_off, identity
from hospital.patients.enrolment import Person
from hospital.patients.models import HandOff, Identification, Patient
from hospital.privacy.models import Disclosure, Erasure
from tests.conftest import recorded
from tests.his_server import TOKEN, His, serving
from tests.hospital.certificates import Authority
from tests.level3 import environment

ROOT = Path(__file__).resolve().parents[2]
SYSTEM_URI = "https://hospital.invalid/patients"
ZHANG = Person("张三", 1, "11010119900307002X")
SHAN = replace(ZHANG, real_name="张山")
State = HandOff.State


@pytest.fixture
def his(settings, db):
    with serving(His()) as server:
        settings.HIS_FHIR_URL = server.url
        settings.HIS_IDENTIFIER_SYSTEM = SYSTEM_URI
        settings.HIS_TOKEN = TOKEN
        settings.HIS_TIMEOUT = 5
        yield server


def onboard(person=ZHANG, *, campus="main"):
    with transaction.atomic():
        now = timezone.now()
        patient, _ = enrolment.enrol(person, accounts={}, campus=campus, at=now)
        record(
            Action.PATIENT_ONBOARD, by=SYSTEM, on=patient, at=now, identity=identity.commit(patient)
        )
    return patient


def correct(patient, person, *, by, approved_by):
    now = timezone.now()
    asked = correcting.ask(
        patient,
        person,
        evidence=Identification.Evidence.ORIGINAL,
        reason="读错了字",
        by=by,
        at=now,
        today=date(2026, 11, 22),
    )
    return correcting.approve(asked, by=approved_by, at=now)


def connect():
    return client.connected(
        project.HIS_FHIR_URL, token=project.HIS_TOKEN, ca_file=project.HIS_CA_FILE
    )


def work(after=timedelta()):
    """Do what a worker would, so much later."""
    sending.send_due(connect=connect, clock=lambda: timezone.now() + after)


def the_handoff():
    return HandOff.objects.get()


def told(action):
    return [
        json.loads(payload)
        for payload in Event.objects.order_by("id").values_list("payload", flat=True)
        if json.loads(payload).get("action") == action.value.tag
    ]


@pytest.fixture
def patient(his, db):
    return onboard()


@pytest.fixture
def colleagues(chen, sun):
    return {"by": chen, "approved_by": sun}


def test_a_new_patient_is_told_and_the_answer_is_on_record(his, db):
    with recorded():
        patient = onboard()
        work()

    handoff = the_handoff()
    assert (handoff.state, handoff.his_patient_id) == (State.DONE, "his-1")
    assert handoff.acknowledged_at is not None
    at_his = his.only()
    assert at_his["name"] == [{"use": "official", "text": "张三"}]
    assert at_his["birthDate"] == "1990-03-07"
    assert [one["value"] for one in at_his["identifier"]] == [patient.number, ZHANG.document_number]
    given = Disclosure.objects.get()
    assert (given.recipient, given.subject) == (Disclosure.Recipient.HIS, patient.pk)
    assert given.fields == [
        "birth_date", "document_number", "document_type", "gender", "number", "real_name",
    ]  # fmt: skip
    (done,) = told(Action.HANDOFF_DONE)
    assert done["facts"]["disclosure"] == str(given.pk)


def test_who_is_known_already_is_not_told_again(his, patient):
    onboard()

    assert HandOff.objects.count() == 1


def test_without_an_address_nothing_is_written(db, settings):
    settings.HIS_FHIR_URL = ""

    onboard()

    assert not HandOff.objects.exists()
    assert not told(Action.HANDOFF_OWE)


def test_who_came_before_there_was_a_system_is_told_later(his, db, settings, capsys):
    address, settings.HIS_FHIR_URL = settings.HIS_FHIR_URL, ""
    patient = onboard()
    with pytest.raises(CommandError, match="HIS_FHIR_URL"):
        call_command("handoverpatients")
    settings.HIS_FHIR_URL = address
    onboard(Person("李四", 1, "110101199003078899"))
    work()

    call_command("handoverpatients", "--dry-run")
    assert "1 位" in capsys.readouterr().out
    with recorded():
        call_command("handoverpatients")
    call_command("handoverpatients")
    work()

    assert HandOff.objects.filter(patient=patient).get().state == State.DONE
    assert len(his.patients) == 2


def test_one_of_them_is_due_after_the_other_and_nobody_is_late(his, db, settings):
    address, settings.HIS_FHIR_URL = settings.HIS_FHIR_URL, ""
    onboard()
    onboard(Person("李四", 1, "110101199003078899"))
    settings.HIS_FHIR_URL = address
    began = timezone.now()

    assert list(catching_up.catch_up(rate=1, at=began)) == [2]

    dues = sorted(HandOff.objects.values_list("due_at", flat=True))
    assert dues == [began, began + timedelta(seconds=1)]
    waiting = HandOff.objects.all()
    soon, later = began + timedelta(minutes=15), began + timedelta(minutes=16)
    assert handing_off.overdue(waiting, at=soon).count() == 0
    assert handing_off.overdue(waiting, at=later).count() == 2


@pytest.mark.parametrize("why", ["withdrawn", "erasing", "thinned"])
def test_who_must_not_be_told_of_is_not_caught_up_with(patient, chen, why):
    HandOff.objects.all().delete()
    match why:
        case "withdrawn":
            withdrawal.withdraw(patient, by=chen, at=timezone.now())
        case "erasing":
            Erasure.objects.create(
                subject=patient.pk,
                cause=Erasure.Cause.REQUEST,
                decided_at=timezone.now(),
                due_at=timezone.now(),
            )
        case "thinned":
            Patient.objects.update(thinned_at=timezone.now())

    assert not catching_up.missing().exists()


def test_what_is_rolled_back_is_not_owed(his, db):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        onboard()
        raise ZeroDivisionError

    assert not HandOff.objects.exists()


def test_an_answer_that_was_lost_makes_no_second_patient(his, patient):
    his.will(drops=True)  # stored, and the answer never came
    work()
    assert the_handoff().state == State.WAITING
    assert len(his.patients) == 1

    work(timedelta(minutes=2))

    assert the_handoff().state == State.DONE
    assert len(his.patients) == 1


def test_a_worker_that_dies_before_its_commit_makes_no_second_patient(his, patient, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_args, **_kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(sending, "_acknowledge", die)
        with pytest.raises(Killed):
            work()
    work()
    assert his.methods() == ["POST"]  # the lease has not run out

    work(timedelta(minutes=1))

    assert the_handoff().state == State.DONE
    assert len(his.patients) == 1
    assert Disclosure.objects.count() == 1


def test_a_correction_reaches_whom_the_other_system_knows(his, patient, colleagues):
    work()
    before = his.only()
    phone = [{"system": "phone", "value": "13800000000"}]
    nickname = {"use": "nickname", "text": "三哥"}
    his.keep(before | {"telecom": phone, "name": [*before["name"], nickname]}, "his-1")

    correct(patient, SHAN, **colleagues)
    work()

    after = his.only()
    assert after["name"] == [{"use": "official", "text": "张山"}, nickname]
    assert after["telecom"] == phone  # what is theirs stays
    assert his.methods() == ["POST", "GET", "PUT"]
    newest = HandOff.objects.first()
    assert (newest.state, newest.his_patient_id) == (State.DONE, "his-1")


def test_a_wrong_document_number_leaves_with_the_correction(his, patient, colleagues):
    work()
    his.keep(
        his.only() | {"identifier": [*his.only()["identifier"], {"system": "urn:x", "value": "7"}]},
        "his-1",
    )

    correct(patient, replace(ZHANG, document_number="110101199003070038"), **colleagues)
    work()

    values = [one["value"] for one in his.only()["identifier"]]
    assert values == [patient.number, "110101199003070038", "7"]


def test_a_document_of_another_kind_replaces_the_one_we_sent(his, patient, colleagues):
    work()

    passport = Person("张三", 2, "E12345678", birth_date=date(1990, 3, 7))
    correct(patient, passport, **colleagues)
    work()

    values = [one["value"] for one in his.only()["identifier"]]
    assert values == [patient.number, "E12345678"]


def test_who_is_corrected_before_they_were_sent_is_sent_once(his, patient, colleagues):
    correct(patient, SHAN, **colleagues)

    work()

    assert his.methods() == ["POST"]
    assert his.only()["name"][0]["text"] == "张山"
    assert the_handoff().state == State.DONE


def test_who_is_corrected_while_they_are_sent_is_sent_once_more(
    his, patient, colleagues, monkeypatch
):
    acknowledge = sending._acknowledge

    def slowly(*args, **kwargs):
        monkeypatch.setattr(sending, "_acknowledge", acknowledge)
        correct(patient, SHAN, **colleagues)
        acknowledge(*args, **kwargs)

    monkeypatch.setattr(sending, "_acknowledge", slowly)
    work()
    assert the_handoff().state == State.WAITING
    assert the_handoff().his_patient_id == "his-1"

    work()

    assert the_handoff().state == State.DONE
    assert his.only()["name"][0]["text"] == "张山"


def test_a_text_that_is_none_ends_with_a_person_and_not_the_worker(his, patient, colleagues):
    work()
    his.keep(his.only() | {"maritalStatus": {"text": "\ud800"}}, "his-1")

    correct(patient, SHAN, **colleagues)
    work()

    handoff = HandOff.objects.first()
    assert (handoff.state, handoff.code) == (State.DEAD, "invalid")


def test_what_an_earlier_lost_answer_left_there_is_put_right(his, patient, colleagues):
    his.will(drops=True)
    work()
    correct(patient, SHAN, **colleagues)

    work(timedelta(minutes=2))

    assert his.only()["name"][0]["text"] == "张山"
    assert len(his.patients) == 1


def test_whoever_wrote_in_between_is_not_overwritten(his, patient, colleagues):
    work()
    correct(patient, SHAN, **colleagues)

    def write_in_between():
        his.before_writing = None
        his.keep(his.only() | {"maritalStatus": {"text": "已婚"}}, "his-1")

    his.before_writing = write_in_between
    work()
    assert HandOff.objects.first().code == "written_between"

    work(timedelta(minutes=2))

    assert his.only()["maritalStatus"] == {"text": "已婚"}
    assert his.only()["name"][0]["text"] == "张山"


@pytest.mark.parametrize(
    ("weather", "code"),
    [
        ({"status": 503}, "http_5xx"),
        ({"status": 429, "headers": {"Retry-After": "3"}}, "http_429"),
        ({"status": 401}, "credential"),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/Patient/1"}}, "redirected"),
        ({"drops": True}, "network"),
        ({"status": 201, "body": b"<html>"}, "malformed"),
        ({"status": 200, "body": b"[" * 100_000}, "malformed"),
    ],
)
def test_what_may_pass_is_tried_again(his, patient, weather, code):
    his.will(**weather)
    with recorded():
        work()
    handoff = the_handoff()
    assert (handoff.state, handoff.code, handoff.attempts) == (State.WAITING, code, 1)
    assert len(his.asked) == 1
    (failed,) = told(Action.HANDOFF_FAIL)
    assert failed["facts"]["is_final"] is False

    work(timedelta(minutes=2))

    assert the_handoff().state == State.DONE


def test_a_system_that_asks_for_time_is_given_it(his, patient):
    his.will(status=503, headers={"Retry-After": "3000"})
    work()

    work(timedelta(minutes=49))
    assert len(his.asked) == 1
    work(timedelta(minutes=51))

    assert the_handoff().state == State.DONE


@pytest.mark.parametrize(
    ("weather", "code"),
    [
        ({"status": 422, "body": b"{}"}, "invalid"),
        ({"status": 400}, "invalid"),
        ({"status": 412}, "not_unique"),
        ({"status": 418}, "http_418"),
        ({"status": 200, "body": b"x" * 1_100_000}, "too_large"),
    ],
)
def test_what_a_person_has_to_look_at_is_not_tried_again(his, patient, weather, code):
    his.will(**weather)
    with recorded():
        work()

    handoff = the_handoff()
    assert (handoff.state, handoff.code) == (State.DEAD, code)
    work(timedelta(hours=1))
    assert len(his.asked) == 1
    (failed,) = told(Action.HANDOFF_FAIL)
    assert failed["facts"]["is_final"] is True


def test_two_records_of_our_number_there_are_for_a_person(his, patient):
    for _ in range(2):
        his.keep({"identifier": [{"system": SYSTEM_URI, "value": patient.number}]})

    work()

    assert the_handoff().code == "not_unique"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda his: his.patients.clear(), "gone"),
        (lambda his: his.keep(his.only() | {"identifier": []}, "his-1"), "another"),
        (
            lambda his: his.keep(
                his.only() | {"link": [{"type": "replaced-by", "other": {"display": "x"}}]}, "his-1"
            ),
            "merged",
        ),
    ],
)
def test_a_record_that_is_no_longer_this_patients_is_not_written_to(
    his, patient, colleagues, change, code
):
    work()
    change(his)
    correct(patient, SHAN, **colleagues)

    work()

    assert HandOff.objects.first().code == code
    assert "PUT" not in his.methods()


def test_a_server_without_versions_and_locations_will_do(his, patient, colleagues):
    his.counts_versions = his.says_location = False
    work()
    correct(patient, SHAN, **colleagues)

    work()

    assert his.only()["name"][0]["text"] == "张山"


def test_after_twenty_attempts_it_is_left_to_a_person(his, patient):
    his.will(status=503, left=100)
    HandOff.objects.update(attempts=19)

    work()

    assert (the_handoff().state, the_handoff().attempts) == (State.DEAD, 20)


def test_after_a_day_it_is_left_to_a_person(his, patient):
    his.will(status=503, left=100)
    HandOff.objects.update(created_at=timezone.now() - timedelta(hours=24))

    work()

    assert the_handoff().state == State.DEAD


def test_one_that_ends_the_worker_each_time_ends_itself(his, patient):
    HandOff.objects.update(attempts=20)

    work()

    assert (the_handoff().state, the_handoff().code) == (State.DEAD, "attempts_exhausted")
    assert not his.asked


def test_what_was_given_up_is_sent_when_somebody_says_so(his, patient, chen):
    his.will(status=422)
    work()

    with recorded():
        handing_off.replay(the_handoff(), by=chen, at=timezone.now())
        work()

    assert the_handoff().state == State.DONE
    (replayed,) = told(Action.HANDOFF_REPLAY)
    assert replayed["actor"]["id"] == str(chen.pk)
    with pytest.raises(handing_off.NotUndelivered):
        handing_off.replay(the_handoff(), by=chen, at=timezone.now())


def test_what_waits_anyway_is_not_sent_twice(his, patient, chen, colleagues):
    his.will(status=422)
    work()
    dead = the_handoff()
    correct(patient, SHAN, **colleagues)

    with pytest.raises(handing_off.AlreadyWaiting):
        handing_off.replay(dead, by=chen, at=timezone.now())

    assert HandOff.objects.undelivered().count() == 0  # the newer one has taken its place


def test_a_correction_after_a_refusal_is_sent_at_once(his, patient, colleagues, monkeypatch):
    give_up = handing_off.give_up

    def slowly(*args, **kwargs):
        correct(patient, SHAN, **colleagues)
        give_up(*args, **kwargs)

    monkeypatch.setattr(handing_off, "give_up", slowly)
    his.will(status=422)
    work()
    monkeypatch.undo()
    assert the_handoff().state == State.WAITING

    work()

    assert the_handoff().state == State.DONE


def test_who_is_restricted_is_not_sent_until_released(his, patient):
    Patient.objects.update(restricted_at=timezone.now())
    work()
    handoff = the_handoff()
    assert (handoff.state, handoff.attempts) == (State.WAITING, 0)
    work(timedelta(days=9))
    assert not his.asked

    Patient.objects.update(restricted_at=None)
    work(timedelta(days=10))

    assert the_handoff().state == State.DONE


def erase(patient, state):
    now = timezone.now()
    Erasure.objects.create(
        subject=patient.pk,
        cause=Erasure.Cause.REQUEST,
        state=state,
        decided_at=now,
        due_at=now,
    )


def test_who_is_about_to_be_erased_is_not_sent(his, patient):
    erase(patient, Erasure.State.COOLING)
    work()
    assert the_handoff().state == State.WAITING

    Erasure.objects.update(state=Erasure.State.CANCELLED)
    work(timedelta(hours=2))

    assert the_handoff().state == State.DONE


def test_who_is_erased_is_never_sent(his, patient, chen):
    erase(patient, Erasure.State.BEGUN)

    work()

    assert (the_handoff().state, the_handoff().code) == (State.DEAD, HandOff.ERASED)
    assert not his.asked
    with pytest.raises(handing_off.NotUndelivered):
        handing_off.replay(the_handoff(), by=chen, at=timezone.now())


def test_who_takes_their_consent_back_is_not_sent(his, patient, chen):
    with recorded():
        withdrawal.withdraw(patient, by=chen, at=timezone.now())
        work(timedelta(days=1))

    assert (the_handoff().state, the_handoff().code) == (State.DEAD, "consent_withdrawn")
    assert not his.asked
    (failed,) = told(Action.HANDOFF_FAIL)
    assert failed["facts"]["is_final"]
    with pytest.raises(handing_off.NoGround):
        handing_off.replay(the_handoff(), by=chen, at=timezone.now())


def test_what_was_given_up_before_is_not_sent_after_a_withdrawal(his, patient, chen):
    his.will(status=422)
    work()
    withdrawal.withdraw(patient, by=chen, at=timezone.now())

    with pytest.raises(handing_off.NoGround):
        handing_off.replay(the_handoff(), by=chen, at=timezone.now())


@pytest.mark.parametrize("method", Identification.Method)
def test_who_is_identified_again_after_a_withdrawal_can_be_sent(his, patient, chen, method):
    withdrawal.withdraw(patient, by=chen, at=timezone.now())
    Identification.objects.create(patient=patient, method=method, at=timezone.now())

    handing_off.replay(the_handoff(), by=chen, at=timezone.now())
    work()

    assert the_handoff().state == State.DONE


def test_whom_a_desk_registered_can_be_sent_after_a_withdrawal(his, patient, chen):
    Identification.objects.update(method=Identification.Method.MANUAL)
    withdrawal.withdraw(patient, by=chen, at=timezone.now())

    handing_off.replay(the_handoff(), by=chen, at=timezone.now())
    work()

    assert the_handoff().state == State.DONE


def test_a_withdrawal_while_they_are_sent_is_not_undone_by_the_answer(
    his, patient, chen, monkeypatch
):
    acknowledge = handing_off.acknowledge

    def late(*args, **kwargs):
        withdrawal.withdraw(patient, by=chen, at=timezone.now())
        return acknowledge(*args, **kwargs)

    monkeypatch.setattr(handing_off, "acknowledge", late)

    work()

    assert (the_handoff().state, the_handoff().code) == (State.DEAD, "consent_withdrawn")
    assert Disclosure.objects.filter(subject=patient.pk).count() == 1  # it was given all the same


def test_whose_key_is_gone_is_never_sent(his, patient):
    data_keys.destroy(patient.pk)
    keyring.clear()

    work()

    assert (the_handoff().state, the_handoff().code) == (State.DEAD, HandOff.ERASED)
    assert not his.asked


def test_whose_name_is_only_a_mask_by_now_is_not_sent(his, patient):
    Patient.objects.update(thinned_at=timezone.now())

    work()

    assert the_handoff().code == "thinned"
    assert not his.asked


def test_a_system_that_is_down_is_asked_once_and_not_about_everybody(his, patient):
    onboard(replace(ZHANG, document_number="110101199003070038"))
    his.will(status=503, left=100)

    work()
    work()
    assert len(his.asked) == 1

    work(timedelta(seconds=31))

    assert len(his.asked) == 2


def test_one_round_at_a_time(his, patient):
    onboard(replace(ZHANG, document_number="110101199003070038"))
    in_hand = HandOff.objects.first()
    HandOff.objects.take(in_hand.pk, at=timezone.now())

    work()

    assert not his.asked


def test_one_that_another_worker_has_is_left_to_it(his, patient):
    taken = HandOff.objects.take(the_handoff().pk, at=timezone.now())
    assert taken is not None

    assert sending.send(taken.pk, connect=connect, clock=timezone.now)

    assert not his.asked


def test_a_worker_whose_time_ran_out_changes_nothing_any_more(his, patient):
    late = HandOff.objects.take(the_handoff().pk, at=timezone.now())
    assert late is not None
    HandOff.objects.take(late.pk, at=timezone.now() + timedelta(minutes=10))
    now = timezone.now()

    assert not handing_off.acknowledge(late, his_patient_id="x", at=now)
    handing_off.postpone(late, code="timeout", until=now, at=now)
    handing_off.give_up(late, code="invalid", at=now)

    assert (the_handoff().state, the_handoff().his_patient_id) == (State.WAITING, "")
    assert not told(Action.HANDOFF_FAIL)


def test_a_slow_system_keeps_nobody_beyond_the_time(his, patient, settings):
    settings.HIS_TIMEOUT = 0.3
    his.will(seconds=2)

    work()

    assert the_handoff().code == "timeout"


@contextmanager
def dripping(start):
    """Answer with `start`, and then with a byte now and then."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65_536)
                connection.sendall(start)
                for _ in range(100):
                    connection.sendall(b"a")
                    if gone.wait(0.05):
                        break

        gone = threading.Event()
        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/fhir"
        finally:
            gone.set()
            thread.join()


@pytest.mark.parametrize(
    "start",
    [b"HTTP/1.1 200 OK\r\nX-A: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"],
    ids=["headers", "body"],
)
def test_a_system_that_answers_byte_by_byte_keeps_nobody_beyond_the_time(
    his, patient, settings, start
):
    settings.HIS_TIMEOUT = 0.3
    with dripping(start) as settings.HIS_FHIR_URL:
        work()

        assert the_handoff().code == "timeout"


def test_a_system_that_is_not_there(his, patient, settings):
    settings.HIS_FHIR_URL = "http://127.0.0.1:1/fhir"

    work()

    assert the_handoff().code == "unreachable"


@pytest.mark.parametrize("url", ["ftp://his.invalid/fhir", "https://his.invalid:x/"])
def test_an_address_that_is_none(his, patient, settings, url):
    settings.HIS_FHIR_URL = url

    work()

    assert the_handoff().code == "address"


def test_a_server_whose_certificate_is_not_trusted_is_told_nothing(
    his, patient, settings, tmp_path
):
    ours, others = Authority(tmp_path / "ours"), Authority(tmp_path / "others")
    with serving(His(), context=tls(others)) as stranger:
        settings.HIS_FHIR_URL = stranger.url
        settings.HIS_CA_FILE = str(ours.path)
        work()
        assert the_handoff().code == "untrusted"
        assert not stranger.asked

        settings.HIS_CA_FILE = str(others.path)
        work(timedelta(minutes=2))

        assert the_handoff().state == State.DONE


def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server())
    return context


def test_a_file_of_authorities_that_is_not_there(his, patient, settings):
    settings.HIS_CA_FILE = "/nowhere/ca.pem"

    work()

    assert the_handoff().code == "ca_file"


def test_neither_log_nor_trail_nor_address_tells_who_it_is(his, patient, settings, caplog):
    caplog.set_level(logging.DEBUG)
    echo = json.dumps({"diagnostics": f"张三 {ZHANG.document_number}"}).encode()
    for status in (500, 422):
        his.will(status=status, body=echo)
    work()
    work(timedelta(minutes=2))
    handing_off.replay(the_handoff(), by=SYSTEM, at=timezone.now())
    tasks.send_due()
    work(timedelta(minutes=3))
    assert the_handoff().state == State.DONE

    trail = "\n".join(Event.objects.values_list("payload", flat=True))
    asked = "\n".join(f"{path} {headers}" for _method, path, headers in his.asked)
    log = "\n".join(record.getMessage() for record in caplog.records)
    for secret in ("张三", ZHANG.document_number, "1990-03-07", TOKEN):
        assert secret not in trail + log
    for secret in ("张三", ZHANG.document_number, "1990-03-07"):
        assert secret not in asked


@pytest.mark.parametrize("fact", ["invalid", "network"])
def test_no_exception_carries_a_person(his, patient, fact, monkeypatch):
    caught = []
    for name in ("NotNow", "Refused"):
        kind = getattr(sending, name)
        kept = kind.__init__

        def keep(self, *args, kept=kept, **kwargs):
            kept(self, *args, **kwargs)
            caught.append(self)

        monkeypatch.setattr(kind, "__init__", keep)
    his.will(**({"status": 422} if fact == "invalid" else {"drops": True}))

    work()

    (exc,) = {id(one): one for one in caught}.values()
    assert exc.fact == fact
    assert exc.__context__ is None


def test_where_it_is_off_nothing_of_fhir_is_loaded(tmp_path):
    script = (
        "import sys, django; django.setup();"
        "import hospital.celery; hospital.celery.app.loader.import_default_modules();"
        "import hospital.urls;"
        "from django.conf import settings;"
        "assert 'hospital.his.tasks' in sys.modules;"
        "assert not any(name.split('.')[0] in {'fhir', 'fhir_core', 'pydantic'}"
        " for name in sys.modules);"
        "assert 'send-handoffs' not in settings.CELERY_BEAT_SCHEDULE"
    )
    clean = environment(str(tmp_path)) | {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "hospital.settings",
    }

    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, env=clean
    )

    assert ran.returncode == 0, ran.stderr
