"""A name or number that was wrong becomes right once two people looked, and stays provable."""

from dataclasses import replace
from datetime import date

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from stdnum.iso7064 import mod_11_2
from uuid6 import uuid7

from hospital import stepup
from hospital.audit import alarms, commitments, stated
from hospital.audit.actions import Action
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, mac, record
from hospital.crypto import keyring
from hospital.labels import Label, NotCleared
from hospital.patients import correcting, enrolment, identity, registering
from hospital.patients.correcting import Change
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import Correction, Identification, Likeness, Patient
from tests.conftest import recorded

Evidence = Identification.Evidence

TODAY = date(2026, 11, 22)
ZHANG = Person("张三", 1, "11010119900307002X")
SHAN = replace(ZHANG, real_name="张山")


def citizen(order):
    body = f"11010119900307{order:03}"
    return body + mod_11_2.calc_check_digit(body)


def onboard(person=ZHANG, *, campus="main"):
    with transaction.atomic():
        now = timezone.now()
        patient, _ = enrolment.enrol(person, accounts={}, campus=campus, at=now)
        digest = identity.commit(patient)
        record(Action.PATIENT_ONBOARD, by=SYSTEM, on=patient, at=now, identity=digest)
    return patient


def ask(patient, person=SHAN, *, by, evidence=Evidence.ORIGINAL, reason="读错了字"):
    return correcting.ask(
        patient,
        person,
        evidence=evidence,
        reason=reason,
        by=by,
        at=timezone.now(),
        today=TODAY,
    )


def approve(correction, by):
    return correcting.approve(correction, by=by, at=timezone.now())


@pytest.fixture
def patient(db):
    return onboard()


@pytest.fixture
def asked(patient, chen):
    """陈 asks for 张三 to be 张山."""
    return ask(patient, by=chen)


def test_what_is_asked_for_changes_nothing_yet(patient, chen):
    with recorded():
        asked = ask(patient, by=chen)

    patient.refresh_from_db()
    assert patient.real_name == "张三"
    assert asked.real_name == "张山"
    said = stated.facts(Event.objects.get(action="correction.ask").payload)
    assert said["fields"] == ["real_name"]


@pytest.mark.parametrize("decider", ["sun", "gu"])
def test_a_second_person_makes_it_so(request, asked, decider):
    by = request.getfixturevalue(decider)
    by.clearance = Label.IDENTIFYING

    with recorded():
        patient = approve(asked, by)

    assert Patient.objects.get().real_name == "张山"
    assert Patient.objects.named("张山", born=date(1990, 3, 7)).get() == patient
    assert not Patient.objects.named("张三", born=date(1990, 3, 7)).exists()
    asked.refresh_from_db()
    assert (asked.state, asked.real_name, asked.document_number) == ("done", None, None)
    said = stated.facts(Event.objects.get(action="patient.correct").payload)
    assert (said["fields"], said["correction"]) == (["real_name"], str(asked.pk))
    assert identity.agrees(patient) is True


def test_nobody_decides_on_their_own(asked, chen):
    for act in (correcting.approve, correcting.refuse):
        with pytest.raises(correcting.SamePerson):
            act(asked, by=chen, at=timezone.now())

    assert Patient.objects.get().real_name == "张三"


def test_what_is_refused_is_gone(asked, sun):
    with recorded():
        correcting.refuse(asked, by=sun, at=timezone.now())

    asked.refresh_from_db()
    assert (asked.state, asked.real_name) == ("refused", None)
    with pytest.raises(correcting.NotOpen):
        approve(asked, sun)
    assert Patient.objects.get().real_name == "张三"


def test_only_who_asked_takes_it_back(asked, chen, sun):
    with pytest.raises(correcting.NotAsker):
        correcting.withdraw(asked, by=sun, at=timezone.now())

    with recorded():
        correcting.withdraw(asked, by=chen, at=timezone.now())

    asked.refresh_from_db()
    assert asked.state == "withdrawn"


@pytest.mark.parametrize(
    ("person", "extra", "refusal"),
    [
        (ZHANG, {}, correcting.NothingToCorrect),
        (SHAN, {"reason": " "}, correcting.NoReason),
        (SHAN, {"evidence": Evidence.STATED}, registering.Unsuited),
        (replace(SHAN, document_number="110101199003070021"), {}, registering.Implausible),
        (SHAN, {"reason": "应为张 山"}, correcting.TellsWho),
        (SHAN, {"reason": "不是张三"}, correcting.TellsWho),
        (SHAN, {"reason": "见 110101"}, correcting.TellsWho),
        (Person("张三", 105, ""), {"evidence": Evidence.STATED}, correcting.Numbered),
    ],
    ids=["the same", "no reason", "hearsay", "number", "new name", "old name", "digits", "105"],
)
def test_what_cannot_be_is_not_asked_for(patient, chen, person, extra, refusal):
    with pytest.raises(refusal):
        ask(patient, person, by=chen, **extra)


def test_who_is_not_cleared_for_names_neither_asks_nor_decides(patient, asked, sun):
    sun.clearance = Label.SENSITIVE

    with pytest.raises(NotCleared):
        ask(patient, by=sun)
    for act in (correcting.approve, correcting.refuse):
        with pytest.raises(NotCleared):
            act(asked, by=sun, at=timezone.now())


def test_a_guess_that_is_right_is_on_record_and_counts(patient, chen):
    with pytest.raises(correcting.NothingToCorrect):
        ask(patient, ZHANG, by=chen, reason="读错了字")

    event = Event.objects.get(action="correction.ask")
    assert (event.outcome, event.object_id) == ("denied", str(patient.pk))


def test_a_day_has_so_many_asks_whatever_comes_of_them(patient, chen, sun):
    for turn in range(correcting.ASKS):
        if turn % 2:
            with pytest.raises(correcting.NothingToCorrect):
                ask(patient, ZHANG, by=chen)
        else:
            correcting.withdraw(ask(patient, by=chen), by=chen, at=timezone.now())

    for _ in range(3):
        with pytest.raises(correcting.TooManyAsked):
            ask(patient, by=chen)
    assert Event.objects.filter(action="correction.ask").count() == correcting.ASKS + 1
    alarms.watch(at=timezone.now())
    assert Finding.objects.filter(kind="corrections-asked").exists()
    assert ask(patient, by=sun).state == "asked"


def test_one_at_a_time(patient, asked, sun):
    with pytest.raises(correcting.AlreadyAsked):
        ask(patient, by=sun)


def test_a_number_of_somebody_else_tells_nothing_of_them(patient, chen):
    onboard(Person("李四", 1, citizen(77)), campus="east")

    for name in ("张三", "李四"):
        with pytest.raises(correcting.Anothers):
            ask(patient, Person(name, 1, citizen(77)), by=chen)

    assert not Likeness.objects.exists()
    assert not Correction.objects.exists()


def test_whose_number_somebody_of_the_same_name_has_is_a_likeness_and_no_correction(patient, chen):
    other = onboard(replace(ZHANG, document_number=citizen(77)))

    with recorded():
        found = ask(patient, replace(ZHANG, document_number=citizen(77)), by=chen)

    assert isinstance(found, Likeness)
    assert (found.first, found.second, found.state) == (patient, other, "open")
    assert not Correction.objects.exists()


def test_a_number_that_became_somebody_elses_meanwhile_stays_theirs(patient, chen, sun):
    asked = ask(patient, replace(ZHANG, document_number=citizen(77)), by=chen)
    onboard(replace(ZHANG, document_number=citizen(77), real_name="李四"))

    with pytest.raises(correcting.Taken):
        approve(asked, sun)

    asked.refresh_from_db()
    patient.refresh_from_db()
    assert asked.state == "asked"
    assert patient.document_number == ZHANG.document_number


def stranger(by):
    """Somebody nobody knows yet."""
    unknown = Person("", DocumentType.EMERGENCY, "")
    entry = registering.Entry(uuid7(), unknown, registering.Cause.EMERGENCY, Evidence.STATED)
    return registering.enter(
        entry, by=by, at=timezone.now(), today=TODAY, session=None, anyway=False
    )


def test_who_came_as_an_emergency_gets_their_name(chen, sun):
    made = stranger(chen)

    asked = ask(made.patient, ZHANG, by=chen)
    said = correcting.changes(asked)
    with recorded():
        patient = approve(asked, sun)

    assert Change("姓名", made.patient.real_name, "*三") in said
    assert (patient.real_name, patient.document_type) == ("张三", DocumentType.RESIDENT)
    assert Patient.objects.with_document(1, ZHANG.document_number).get() == patient
    assert patient.birth_date is None
    assert patient.born == date(1990, 3, 7)
    assert identity.agrees(patient) is True


def test_a_corrected_name_finds_who_is_alike(chen, sun):
    patient = onboard(replace(ZHANG, real_name="张山"))
    onboard(replace(ZHANG, document_number=citizen(77)))

    approve(ask(patient, ZHANG, by=chen), sun)

    assert Likeness.objects.get().kind == "exact"


@pytest.mark.parametrize("guess", ["A" * 18, "A" * 16 + "2X", "A" * 15 + "02X", "2X"])
def test_what_is_asked_for_cuts_nothing_out_of_what_is_on_record(patient, chen, guess):
    guessed = Person("王三", DocumentType.OTHER, guess.rjust(4, "A"), date(1980, 1, 1))

    shown = {one.label: one for one in correcting.changes(ask(patient, guessed, by=chen))}

    assert shown["证件号码"].before == "******2X"
    assert (shown["姓名"].before, shown["姓名"].is_hidden) == ("*三", True)
    assert (shown["出生日期"].before, shown["出生日期"].is_hidden) == ("********", True)


def test_an_emergency_that_is_somebody_on_record_is_a_likeness(chen):
    known = onboard()
    came = stranger(chen).patient

    found = ask(came, ZHANG, by=chen)

    assert isinstance(found, Likeness)
    assert {found.first, found.second} == {known, came}
    page = at_desk(chen).get(reverse("desk:likeness", args=[found.pk])).content.decode()
    assert "姓名和出生日期相同" not in page


def test_who_is_erased_can_only_be_refused(patient, asked, chen, sun):
    keyring.destroy(patient.pk)

    page = at_desk(sun).get(reverse("desk:correction", args=[asked.pk])).content.decode()
    assert "已依法删除" in page
    assert "approve" not in page
    with pytest.raises(enrolment.Unreadable):
        approve(asked, sun)
    correcting.refuse(asked, by=sun, at=timezone.now())
    with pytest.raises(enrolment.Unreadable):
        ask(patient, by=chen)


def test_a_record_somebody_wrote_into_does_not_take_the_page_with_it(patient, asked, sun):
    other = onboard(Person("王五", 1, citizen(77)))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE patients_patient SET real_name ="
            " (SELECT real_name FROM patients_patient WHERE number = %s) WHERE number = %s",
            [other.number, patient.number],
        )

    page = at_desk(sun).get(reverse("desk:correction", args=[asked.pk]))

    assert page.status_code == 200
    assert "无法打开" in page.content.decode()


def test_nothing_of_it_is_in_the_trail(asked, sun):
    approve(asked, sun)

    for payload in Event.objects.values_list("payload", flat=True):
        assert "张" not in payload
        assert "19900307" not in payload


# Who swaps a name behind the system's back is found, whatever they do with corrections


def swap(patient, name="王五"):
    patient.real_name = name
    patient.save()


def test_many_are_compared_with_as_many_queries_as_one(patient):
    with CaptureQueriesContext(connection) as one:
        assert len(list(identity.compared())) == 1
    for order in range(10, 15):
        onboard(replace(ZHANG, document_number=citizen(order)))
    with CaptureQueriesContext(connection) as many:
        assert [said for _, said in identity.compared()] == [True] * 6

    assert len(many) == len(one)


def test_a_name_swapped_after_a_correction_is_found(asked, sun):
    patient = approve(asked, sun)
    swap(patient)

    assert identity.agrees(patient) is False
    assert [said for _, said in identity.compared()] == [False]


def test_the_old_name_put_back_is_found_too(asked, sun):
    patient = approve(asked, sun)
    swap(patient, "张三")

    assert identity.agrees(patient) is False


def test_a_correction_cannot_cover_a_swap(patient, chen, sun):
    swap(patient)
    asked = ask(patient, replace(ZHANG, real_name="王五", document_number=citizen(77)), by=chen)

    with pytest.raises(correcting.Doubtful):
        approve(asked, sun)

    assert identity.agrees(patient) is False


def test_a_forged_correction_speaks_for_nobody(patient):
    swap(patient)
    forged = forge(patient, identity.commit(patient))

    assert mac(forged.payload) != bytes(forged.mac)
    assert identity.agrees(patient) is False


def test_nor_does_it_take_back_what_was_stated(patient):
    forge(patient, commitments.commit("x", subject=patient.pk))

    assert identity.agrees(patient) is False


def test_a_further_onboarding_does_not_replace_what_was_stated(patient):
    swap(patient)
    with transaction.atomic():
        digest = identity.commit(patient)
        record(Action.PATIENT_ONBOARD, by=SYSTEM, on=patient, at=timezone.now(), identity=digest)

    assert identity.agrees(patient) is False


def forge(patient, digest):
    """Write an event as somebody could who has the database and not the key."""
    thing = f'{{"type":"patients.patient","id":"{patient.pk}"}}'
    payload = (
        f'{{"t":1,"action":"patient.correct","object":{thing},"facts":{{"identity":"{digest}"}}}}'
    )
    forged = Event(uid=uuid7(), payload=payload, mac=b"m" * 32, mac_key=1)
    forged.save()
    return Event.objects.get(uid=forged.uid)


# The pages


def at_desk(person):
    client = Client()
    client.force_login(person)
    session = client.session
    stepup.stamp(session, at=timezone.now())
    session.save()
    return client


def test_the_form_asks_and_the_colleague_decides(patient, chen, sun):
    form = {
        "kind": "1",
        "number": ZHANG.document_number,
        "name": "张山",
        "born": "",
        "evidence": "original",
        "reason": "读错了字",
    }
    answer = at_desk(chen).post(reverse("desk:correct", args=[patient.pk]), form)
    asked = Correction.objects.get()
    address = reverse("desk:correction", args=[asked.pk])
    assert answer["Location"] == address

    desk = at_desk(sun)
    assert asked.patient.number in desk.get(reverse("desk:corrections")).content.decode()
    page = desk.get(address).content.decode()
    assert "*三" in page
    assert "*山" in page
    assert "张山" not in page
    assert desk.post(address, {}).status_code == 400
    assert Correction.objects.get().state == "asked"
    desk.post(address, {"decision": "approve"})

    assert Patient.objects.get().real_name == "张山"
    assert "已更正" in desk.get(address).content.decode()


def test_the_form_never_holds_what_is_on_record(patient, chen):
    page = at_desk(chen).get(reverse("desk:correct", args=[patient.pk])).content.decode()

    assert "张三" not in page
    assert ZHANG.document_number not in page


def test_the_privacy_officer_decides_for_every_campus(asked, gu, wu):
    assert at_desk(gu).get(reverse("desk:correction", args=[asked.pk])).status_code == 200
    assert at_desk(wu).get(reverse("desk:correction", args=[asked.pk])).status_code == 404
    assert at_desk(wu).get(reverse("desk:correct", args=[asked.patient_id])).status_code == 404


def test_the_pages_want_to_know_once_more_who_is_there(asked, chen, sun):
    for person, name, of in ((chen, "correct", asked.patient_id), (sun, "correction", asked.pk)):
        client = Client()
        client.force_login(person)
        for method in (client.get, client.post):
            answer = method(reverse(f"desk:{name}", args=[of]), {"decision": "approve"})
            assert answer["Location"].startswith(reverse("step-up"))

    assert Patient.objects.get().real_name == "张三"


def test_the_privacy_officer_without_the_clearance_has_no_button(asked, gu):
    page = at_desk(gu).get(reverse("desk:correction", args=[asked.pk])).content.decode()

    assert "decision" not in page
    assert "直接标识" in page


def test_who_asked_sees_no_button_to_approve(asked, chen):
    page = at_desk(chen).get(reverse("desk:correction", args=[asked.pk])).content.decode()

    assert "approve" not in page
    assert "撤回申请" in page
