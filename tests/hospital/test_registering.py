"""Who does not, cannot or must not use the face becomes a patient at the desk, once."""

import re
from dataclasses import replace
from datetime import date

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from stdnum.iso7064 import mod_11_2
from uuid6 import uuid7

from faceauth import handling
from faceauth.models import FaceSession
from hospital import policy
from hospital.accounts.models import PolicyChoice
from hospital.audit import stated
from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.desk.forms import RegisterForm
from hospital.patients import enrolment, finding, identity, registering
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import Likeness, Patient, Registration
from hospital.patients.registering import Cause, Entry, Evidence
from tests import minutes
from tests.conftest import recorded

TODAY = date(2026, 11, 22)
ZHANG = Person("张三", DocumentType.RESIDENT, "11010119900307002X")


def citizen(born, order=1):
    body = f"110101{born:%Y%m%d}{order:03}"
    return body + mod_11_2.calc_check_digit(body)


def an_entry(person=ZHANG, *, cause=Cause.REFUSED, evidence=Evidence.ORIGINAL, agrees=False):
    return Entry(uuid7(), person, cause, evidence, guardian_agrees=agrees)


def enter(entry, *, by, anyway=False, session=None):
    return registering.enter(
        entry, by=by, at=timezone.now(), today=TODAY, session=session, anyway=anyway
    )


def facts(action):
    return stated.facts(Event.objects.get(action=action).payload)


@pytest.fixture
def second_look(db):
    PolicyChoice.objects.create(key="SECOND_LOOK", value=1, set_at=timezone.now())
    policy.forget()
    yield
    policy.forget()


@pytest.fixture
def waiting(second_look, chen):
    """张三, entered by 陈, to be looked at by somebody else."""
    return enter(an_entry(), by=chen)


def test_an_entry_makes_a_patient_known_at_this_campus(chen):
    with recorded():
        made = enter(an_entry(), by=chen)

    patient = Patient.objects.get()
    assert (made.state, made.patient) == ("done", patient)
    assert (patient.real_name, patient.document_number) == ("张三", "11010119900307002X")
    assert [one.campus for one in patient.attendances.all()] == ["main"]
    one = patient.identifications.get()
    assert (one.method, one.evidence, one.by) == ("manual", "original", chen.pk)
    assert identity.agrees(patient) is True
    said = facts("patient.onboard")
    assert (said["method"], said["evidence"]) == ("manual", "original")
    assert said["registration"] == str(made.pk)


def test_what_was_entered_is_the_patients_only(chen):
    made = enter(an_entry(), by=chen)

    assert (made.real_name, made.document_number, made.birth_date) == (None, None, None)


def test_the_trail_tells_nobody_who_it_was(chen):
    enter(an_entry(), by=chen)

    for payload in Event.objects.values_list("payload", flat=True):
        assert "张三" not in payload
        assert "19900307" not in payload


def test_the_same_form_twice_is_one_patient(chen):
    entry = an_entry()

    first, second = enter(entry, by=chen), enter(entry, by=chen)

    assert second == first
    assert Patient.objects.count() == Registration.objects.count() == 1
    assert Event.objects.filter(action="patient.onboard").count() == 1


def test_twice_is_once_for_who_has_no_number_either(chen):
    entry = an_entry(
        Person("", DocumentType.EMERGENCY, ""), cause=Cause.EMERGENCY, evidence=Evidence.STATED
    )

    enter(entry, by=chen)
    enter(entry, by=chen)

    assert Patient.objects.count() == 1


def test_somebody_elses_form_cannot_be_sent_in_ones_own_name(chen, sun):
    entry = an_entry()
    enter(entry, by=chen)

    with pytest.raises(registering.Used):
        enter(entry, by=sun)


@pytest.mark.parametrize(
    "changed",
    [
        {"person": replace(ZHANG, real_name="李四", document_number="110101199003070038")},
        {"person": replace(ZHANG, real_name="李四")},
        {"cause": Cause.UNABLE},
        {"session": uuid7()},
    ],
    ids=["person", "name", "cause", "session"],
)
@pytest.mark.parametrize("is_looked_at", [False, True])
def test_a_spent_form_says_nothing_else(request, chen, changed, is_looked_at):
    if is_looked_at:
        request.getfixturevalue("second_look")
    entry = an_entry()
    enter(entry, by=chen)
    session = changed.get("session")
    other = replace(entry, **{name: one for name, one in changed.items() if name != "session"})

    with pytest.raises(registering.Used):
        enter(other, by=chen, session=session)


def test_a_document_on_record_makes_no_second_patient(chen, sun):
    enter(an_entry(), by=chen)

    with pytest.raises(registering.Known) as refused:
        enter(an_entry(replace(ZHANG, document_type=DocumentType.HOUSEHOLD)), by=sun)

    assert refused.value.patient == Patient.objects.get()
    assert Registration.objects.count() == 1


def test_a_document_on_record_under_another_name_is_refused(chen):
    enter(an_entry(), by=chen)

    with pytest.raises(enrolment.NameDiffers):
        enter(an_entry(replace(ZHANG, real_name="李四")), by=chen)


def test_a_patient_of_another_campus_is_known_here_from_now_on(chen, wu):
    enter(an_entry(), by=chen)

    with recorded():
        patient = registering.attend_known(an_entry(), by=wu, at=timezone.now(), today=TODAY)

    assert patient in Patient.objects.seen_by(wu)
    assert Patient.objects.count() == 1
    assert facts("patient.attend") == {"campus": "east"}


def test_who_does_not_know_the_name_learns_of_nobody(chen, wu):
    enter(an_entry(), by=chen)

    with pytest.raises(enrolment.NameDiffers):
        registering.attend_known(
            an_entry(replace(ZHANG, real_name="李四")), by=wu, at=timezone.now(), today=TODAY
        )

    assert not Patient.objects.seen_by(wu).exists()


def test_who_is_alike_is_looked_at_before_another_is_made(chen):
    enter(an_entry(), by=chen)
    namesake = Person("张三", DocumentType.RESIDENT, citizen(date(1990, 3, 7), 77))

    with pytest.raises(registering.Alike) as refused:
        enter(an_entry(namesake), by=chen)
    with recorded():
        made = enter(an_entry(namesake), by=chen, anyway=True)

    first = refused.value.patients[0]
    pair = Likeness.objects.get()
    assert (pair.first, pair.second, pair.kind, pair.state) == (
        first,
        made.patient,
        "exact",
        "open",
    )
    assert facts("likeness.find")["patients"] == sorted([str(first.pk), str(made.patient_id)])


@pytest.mark.parametrize(
    ("person", "evidence", "refusal"),
    [
        (replace(ZHANG, document_number="110101199003070021"), "original", registering.Implausible),
        (replace(ZHANG, real_name="张3"), "original", registering.Implausible),
        (Person("张三", DocumentType.PASSPORT, "E12345678"), "original", registering.Implausible),
        (ZHANG, "stated", registering.Unsuited),
        (Person("", DocumentType.EMERGENCY, ""), "original", registering.Unsuited),
    ],
    ids=["number", "name", "no birth date", "hearsay", "no original"],
)
def test_what_cannot_be_is_not_entered(chen, person, evidence, refusal):
    with pytest.raises(refusal):
        enter(an_entry(person, evidence=Evidence(evidence)), by=chen)

    assert not Registration.objects.exists()


def test_a_registrar_of_no_campus_registers_nobody(chen):
    chen.campus = ""

    with pytest.raises(registering.NoCampus):
        enter(an_entry(), by=chen)


@pytest.mark.parametrize(
    ("born", "is_child"), [(date(2012, 11, 22), False), (date(2012, 11, 23), True)]
)
def test_below_fourteen_a_guardian_has_to_agree(chen, born, is_child):
    child = Person("王小英", DocumentType.RESIDENT, citizen(born))
    if is_child:
        with pytest.raises(registering.GuardianNeeded):
            enter(an_entry(child, cause=Cause.CHILD), by=chen)

    enter(an_entry(child, cause=Cause.CHILD, agrees=is_child), by=chen)

    assert facts("registration.enter")["guardian"] is is_child


def test_who_needs_no_guardian_has_none_on_record(chen):
    enter(an_entry(agrees=True), by=chen)

    assert facts("registration.enter")["guardian"] is False


def test_an_emergency_waits_for_nobody(chen):
    child = Person("王小英", DocumentType.RESIDENT, citizen(date(2020, 1, 1)))

    enter(an_entry(child, cause=Cause.EMERGENCY), by=chen)

    assert Patient.objects.count() == 1


def test_who_nobody_knows_gets_a_temporary_name(chen):
    made = enter(
        an_entry(
            Person("", DocumentType.EMERGENCY, ""), cause=Cause.EMERGENCY, evidence=Evidence.STATED
        ),
        by=chen,
    )

    patient = made.patient
    assert patient.real_name == f"急诊患者 {patient.number[-4:]}"
    assert patient.masked_name == patient.real_name
    assert patient.document_number is None


def test_newborns_without_a_number_are_different_people(chen):
    son = Person("张三之子", DocumentType.NEWBORN, "", date(2026, 11, 21))
    daughter = replace(son, real_name="张三之女")
    for child in (son, daughter):
        enter(
            an_entry(child, cause=Cause.NEWBORN, evidence=Evidence.GUARDIAN, agrees=True), by=chen
        )

    assert Patient.objects.count() == 2
    assert Patient.objects.named("张三之子", born=date(2026, 11, 21)).count() == 1


def test_with_a_second_look_there_is_no_patient_yet(waiting):
    assert waiting.state == "waiting"
    assert waiting.real_name == "张三"
    assert not Patient.objects.exists()


@pytest.mark.parametrize(
    "again",
    [
        "11010119900307002x",
        " 110101 19900307 002X",
        "110101900307002",
        "张 三 11010119900307002X",
    ],
)
def test_a_colleague_reads_the_number_again_and_then_there_is(waiting, chen, sun, again):
    with recorded():
        patient = registering.confirm(waiting, again=again, by=sun, at=timezone.now())

    waiting.refresh_from_db()
    assert (waiting.state, waiting.looked_by, waiting.patient) == ("done", sun.pk, patient)
    assert waiting.real_name is None
    assert patient.identifications.get().by == chen.pk
    assert facts("registration.decide") == {"decision": "done", "patient": str(patient.pk)}


def test_nobody_looks_at_their_own(waiting, chen):
    for act, extra in (
        (registering.confirm, {"again": ZHANG.document_number}),
        (registering.send_back, {"note": "x"}),
    ):
        with pytest.raises(registering.OwnEntry):
            act(waiting, by=chen, at=timezone.now(), **extra)

    assert not Patient.objects.exists()


@pytest.mark.parametrize("again", ["", "110101199003070038", "张三", "李四 11010119900307002X"])
def test_another_number_makes_nobody(waiting, sun, again):
    with pytest.raises(registering.DoesNotRepeat):
        registering.confirm(waiting, again=again, by=sun, at=timezone.now())

    assert not Patient.objects.exists()


def test_a_birth_date_the_number_does_not_say_is_read_again_too(second_look, chen, sun):
    person = Person("张三", DocumentType.PASSPORT, "E12345678", date(1990, 3, 7))
    one = enter(an_entry(person), by=chen)
    address, desk = reverse("desk:registration", args=[one.pk]), at_desk(sun)
    typed = {"decision": "confirm", "again": "E12345678"}
    assert 'name="born"' in desk.get(address).content.decode()

    for born in ("", "1990-03-08", "1990"):
        desk.post(address, {**typed, "born": born})
        assert not Patient.objects.exists()
    desk.post(address, {**typed, "born": "1990.03.07"})

    assert Patient.objects.get().born == date(1990, 3, 7)


@pytest.mark.parametrize(
    "note",
    ["错" * 201, "错\x00", "", "不是张三", "号码是 110101"],
    ids=["long", "nul", "none", "name", "number"],
)
def test_what_is_no_note_sends_nothing_back(waiting, sun, note):
    address, desk = reverse("desk:registration", args=[waiting.pk]), at_desk(sun)

    answer = desk.post(address, {"decision": "return", "note": note})

    assert answer["Location"] == address
    waiting.refresh_from_db()
    assert waiting.state == "waiting"


@pytest.mark.parametrize("decision", ["", "x", "settle"])
def test_what_waits_is_decided_by_a_button_only(waiting, sun, decision):
    address = reverse("desk:registration", args=[waiting.pk])

    assert at_desk(sun).post(address, {"decision": decision}).status_code == 400


def test_what_is_sent_back_is_gone_and_says_why(waiting, sun):
    with recorded():
        registering.send_back(waiting, note="号码看不清", by=sun, at=timezone.now())

    waiting.refresh_from_db()
    assert (waiting.state, waiting.note) == ("returned", "号码看不清")
    assert (waiting.real_name, waiting.document_number) == (None, None)
    with pytest.raises(registering.NotWaiting):
        registering.confirm(waiting, again=ZHANG.document_number, by=sun, at=timezone.now())


def test_what_waits_is_not_made_twice_when_a_face_was_faster(waiting, sun):
    enrolment.enrol(ZHANG, accounts={}, campus="main", at=timezone.now())

    with pytest.raises(registering.Known):
        registering.confirm(waiting, again=ZHANG.document_number, by=sun, at=timezone.now())

    waiting.refresh_from_db()
    assert waiting.state == "waiting"


# The page


def at_desk(person):
    client = Client()
    client.force_login(person)
    return client


def form(**typed):
    return {
        "token": str(uuid7()),
        "session": "",
        "cause": "refused",
        "kind": "1",
        "number": ZHANG.document_number,
        "name": "张三",
        "born": "",
        "evidence": "original",
        **typed,
    }


def post(desk, **typed):
    return desk.post(reverse("desk:register"), form(**typed))


def test_the_form_registers_and_leads_to_the_patient(chen):
    answer = post(at_desk(chen))

    patient = Patient.objects.get()
    assert answer.status_code == 302
    assert answer["Location"] == reverse("desk:patient", args=[patient.pk])


def test_a_reader_fills_the_name_from_the_box_of_the_number(chen):
    post(at_desk(chen), number="张三 11010119900307002X", name="")

    assert Patient.objects.get().real_name == "张三"


def test_what_is_typed_is_judged_and_nothing_is_kept_or_looked_up(chen):
    enter(an_entry(), by=chen)
    desk = at_desk(chen)
    before = Event.objects.count()

    answer = desk.post(reverse("desk:register"), form(name=""), headers={"X-Desk-Check": "1"})

    said = answer.json()
    assert said["errors"] == {"name": "请输入姓名"}
    assert (said["dated"], said["born"]) == (True, "1990-03-07")
    assert said["evidence"] == ["copy", "electronic", "guardian", "original", "reader"]
    assert Event.objects.count() == before


def test_a_document_of_another_campus_is_shown_masked_and_can_be_used_here(chen, wu):
    enter(an_entry(), by=chen)
    desk = at_desk(wu)

    page = post(desk).content.decode()
    assert "在本院区登记" in page
    assert "*三" in page
    assert Patient.objects.get().number not in page
    answer = post(desk, then="attend")

    assert answer["Location"] == reverse("desk:patient", args=[Patient.objects.get().pk])
    assert Event.objects.filter(action="patient.view").exists()


def test_candidates_are_shown_masked_and_another_is_made_only_when_wanted(chen):
    enter(an_entry(), by=chen)
    desk, typed = at_desk(chen), form(number=citizen(date(1990, 3, 7), 77))

    page = desk.post(reverse("desk:register"), typed).content.decode()
    assert "仍要新建" in page
    assert Patient.objects.count() == 1
    desk.post(reverse("desk:register"), {**typed, "then": "anyway", "shown": shown_in(page)})

    assert Patient.objects.count() == 2


def shown_in(page):
    return re.search('name="shown" value="([^"]+)"', page)[1]


def test_who_was_not_shown_is_not_said_to_be_another(chen):
    enter(an_entry(), by=chen)
    enter(an_entry(Person("李四", DocumentType.RESIDENT, citizen(date(1980, 1, 1)))), by=chen)
    desk, typed = at_desk(chen), form(number=citizen(date(1990, 3, 7), 77))
    shown = shown_in(desk.post(reverse("desk:register"), typed).content.decode())

    other = {**typed, "name": "李四", "number": citizen(date(1980, 1, 1), 77)}
    for extra in ({"shown": shown}, {"shown": ""}, {}):
        page = desk.post(reverse("desk:register"), {**other, "then": "anyway", **extra})
        assert "仍要新建" in page.content.decode()

    assert Patient.objects.count() == 2


def test_of_who_is_alike_elsewhere_nothing_is_shown(chen, wu):
    enter(an_entry(), by=chen)

    page = post(at_desk(wu), number=citizen(date(1990, 3, 7), 77)).content.decode()

    assert "其他院区有相似档案" in page
    assert "仍要新建" in page
    assert "*三" not in page
    assert "******2X" not in page


def test_what_is_entered_is_a_search_bounded_and_on_record(chen, wu, monkeypatch):
    enter(an_entry(), by=chen)
    minutes.stop(monkeypatch)
    monkeypatch.setattr(finding, "PER_MINUTE", 2)
    desk = at_desk(wu)

    pages = [post(desk, name="李四").content.decode() for _ in range(3)]

    assert ["姓名不一致" in page for page in pages] == [True, True, False]
    assert "频繁" in pages[-1]
    searches = Event.objects.filter(action="patient.search", outcome="success")
    said = [stated.facts(one) for one in searches.values_list("payload", flat=True)]
    assert [(one["kind"], one["count"]) for one in said] == [("register", 1)] * 2


def test_another_act_than_the_page_offers_is_none(chen):
    assert post(at_desk(chen), then="x").status_code == 400
    assert not Patient.objects.exists()


def test_an_erased_record_is_told_of_in_a_sentence(chen):
    keyring.destroy(enter(an_entry(), by=chen).patient_id)

    assert "已依法删除" in post(at_desk(chen)).content.decode()


@pytest.mark.parametrize(
    ("typed", "box"),
    [
        ({"number": f"李四 {ZHANG.document_number}"}, "number"),
        ({"born": "1991-01-01"}, "born"),
        ({"cause": "newborn"}, "born"),
        ({"born": "1990-02-30"}, "born"),
    ],
    ids=["the card of another", "another day", "no newborn", "no such day"],
)
def test_what_contradicts_itself_stops(typed, box):
    checked = RegisterForm(form(**typed), today=TODAY)

    assert list(checked.errors) == [box]


def test_what_was_not_found_comes_over_without_an_address(chen):
    answer = at_desk(chen).post(reverse("desk:register"), {"prefill": "张三 1990-03-07"})

    page = answer.content.decode()
    assert 'value="张三"' in page
    assert 'value="1990-03-07"' in page


@pytest.fixture
def failed(authorized):
    """A visit that came to nothing: WeChat did not say who it is."""
    authorized.end(FaceSession.State.FAILED, at=timezone.now(), reason="authorization_failed")
    return authorized


def test_a_visit_that_is_taken_over_ends_with_the_patient(failed, chen):
    desk = at_desk(chen)
    page = desk.get(reverse("desk:register"), {"session": failed.pk}).content.decode()
    assert '<option value="failed" selected>' in page
    with recorded():
        post(desk, session=failed.pk)

    failed.refresh_from_db()
    assert (failed.settlement, failed.patient) == ("registered", Patient.objects.get())
    assert facts("patient.onboard")["session"] == str(failed.pk)


def test_who_is_known_already_ends_it_as_well(failed, chen):
    enter(an_entry(), by=chen)
    desk = at_desk(chen)

    assert "按此档案办结会话" in post(desk, session=failed.pk).content.decode()
    post(desk, session=failed.pk, then="attend")

    failed.refresh_from_db()
    assert (failed.settlement, failed.patient) == ("known", Patient.objects.get())


def test_the_form_sent_twice_ends_it_once(failed, chen):
    desk, typed = at_desk(chen), form(session=failed.pk)

    answers = [desk.post(reverse("desk:register"), typed) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [302, 302]
    assert Patient.objects.count() == 1


def test_a_visit_a_colleague_has_taken_makes_no_patient(failed, chen, sun):
    handling.take(failed, by=sun, at=timezone.now())

    page = post(at_desk(chen), session=failed.pk).content.decode()

    assert "同事已接手该会话" in page
    assert not Patient.objects.exists()


def test_a_visit_of_another_campus_is_not_there(failed, wu):
    assert post(at_desk(wu), session=failed.pk).status_code == 404
    assert at_desk(wu).get(reverse("desk:register"), {"session": "x"}).status_code == 404
    assert not Patient.objects.exists()


def test_after_the_second_look_who_took_the_visit_ends_it(failed, second_look, chen, sun):
    post(at_desk(chen), session=failed.pk)
    address = reverse("desk:registration", args=[Registration.objects.get().pk])
    at_desk(sun).post(address, {"decision": "confirm", "again": ZHANG.document_number})
    failed.refresh_from_db()
    assert (failed.taken_by, failed.settlement) == (chen.pk, "")

    desk = at_desk(chen)
    assert "办结会话" in desk.get(address).content.decode()
    desk.post(address, {"decision": "settle"})

    failed.refresh_from_db()
    assert (failed.settlement, failed.patient) == ("registered", Patient.objects.get())


def test_the_second_look_is_a_page(waiting, sun, chen):
    address = reverse("desk:registration", args=[waiting.pk])

    page = at_desk(sun).get(address).content.decode()
    assert "*三" in page
    assert "19900307" not in page
    assert "核对一致" not in at_desk(chen).get(address).content.decode()
    assert "复核" in at_desk(sun).get(reverse("desk:registrations")).content.decode()
    at_desk(sun).post(address, {"decision": "confirm", "again": ZHANG.document_number})

    assert Patient.objects.count() == 1


def test_another_campus_does_not_see_what_waits(waiting, wu):
    desk = at_desk(wu)

    assert desk.get(reverse("desk:registration", args=[waiting.pk])).status_code == 404
    assert str(waiting.pk) not in desk.get(reverse("desk:registrations")).content.decode()


def test_who_does_not_register_has_no_form(zhou, gu):
    for person in (zhou, gu):
        assert at_desk(person).get(reverse("desk:register")).status_code == 403
