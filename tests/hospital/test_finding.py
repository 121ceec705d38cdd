"""Finding a patient by the one box."""

import threading
from datetime import date, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from hospital.audit import alarms, flood
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.labels import Label, NotCleared
from hospital.patients import asked, enrolment, finding
from hospital.patients.asked import ByDocument, ByNameAndBirth, ByNumber
from hospital.patients.finding import TooManyMisses, TooOften
from tests import minutes

PEOPLE = {
    "张三": "11010119900307002X",
    "张小英": "110101199003070046",
    "阿依古丽·买买提": "110101199003070062",
}


@pytest.fixture
def patients(db):
    return {
        name: enrolment.enrol(
            enrolment.Person(name, 1, number),
            accounts={"wx1": f"o-{number}"},
            campus="main",
            at=timezone.now(),
        )[0]
        for name, number in PEOPLE.items()
    }


BORN = date(1990, 3, 7)


def found(question, by, at=None):
    return finding.find(question, by=by, at=at or timezone.now())


@pytest.fixture
def easterner(db):
    known = enrolment.Person("李四", 2, "E12345678")
    return enrolment.enrol(known, accounts={}, campus="east", at=timezone.now())[0]


@pytest.mark.parametrize("number", ["11010119900307002X", "11010119900307002x"])
def test_a_document_number_finds_its_patient(patients, chen, number):
    assert found(ByDocument(number), chen).patients == [patients["张三"]]


def test_an_old_citizen_number_finds_the_same_patient(chen, db):
    known = enrolment.Person("王五", 1, "110101900307003")
    patient, _ = enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())

    assert found(ByDocument("110101900307003"), chen).patients == [patient]
    assert found(
        ByDocument(enrolment.documents.canonical_number(1, "110101900307003")), chen
    ).patients == [patient]


def test_a_number_two_documents_have_finds_both(chen, db):
    now = timezone.now()
    both = [
        enrolment.enrol(
            enrolment.Person(name, kind, "E7654321"), accounts={}, campus="main", at=now
        )
        for name, kind in [("Ann Lee", 2), ("Bob Ray", 5)]
    ]

    assert set(found(ByDocument("E7654321"), chen).patients) == {one for one, _ in both}


def test_a_patient_number_finds_its_patient(patients, chen):
    wanted = patients["张小英"]

    assert found(ByNumber(wanted.number), chen).patients == [wanted]


def test_a_name_and_a_birth_date_find_whoever_has_both(patients, chen):
    assert found(ByNameAndBirth("阿依古丽•买买提", BORN), chen).patients == [
        patients["阿依古丽·买买提"]
    ]
    assert found(ByNameAndBirth("张三", date(1990, 3, 8)), chen).patients == []


@pytest.mark.parametrize("by_number", [False, True])
def test_of_another_campus_it_is_said_that_there_is_a_record_and_no_more(
    chen, easterner, by_number
):
    question = ByNumber(easterner.number) if by_number else ByDocument("E12345678")

    answer = found(question, chen)

    assert (answer.patients, answer.elsewhere) == ([], "number" if by_number else "document")
    assert str(easterner.pk) in Event.objects.get(action="patient.search").payload


def test_of_another_campus_no_name_is_told(chen, db):
    known = enrolment.Person("李四", 1, "110101199003070089")
    enrolment.enrol(known, accounts={}, campus="east", at=timezone.now())

    answer = found(ByNameAndBirth("李四", BORN), chen)

    assert (answer.patients, answer.elsewhere) == ([], "")


def test_a_search_is_on_record_by_its_kind_and_never_what_was_typed(patients, chen):
    found(ByDocument("11010119900307002X"), chen)
    found(ByNameAndBirth("赵六", BORN), chen)

    one, none = Event.objects.filter(action="patient.search").order_by("pk")
    assert '"count":1' in one.payload
    assert '"kind":"document"' in one.payload
    assert str(patients["张三"].pk) in one.payload
    assert "110101" not in one.payload
    assert '"count":0' in none.payload
    assert "赵六" not in none.payload


def test_who_is_not_cleared_finds_nothing(patients, chen):
    chen.clearance = Label.INTERNAL

    with pytest.raises(NotCleared):
        found(ByDocument("11010119900307002X"), chen)


def test_nobody_tries_numbers_by_the_thousand(patients, chen, sun, monkeypatch):
    monkeypatch.setattr(finding, "PER_MINUTE", 3)
    now = timezone.now().replace(second=0)
    for _ in range(3):
        found(ByDocument("E00000000"), chen, at=now)

    for _ in range(2):
        with pytest.raises(TooOften):
            found(ByDocument("11010119900307002X"), chen, at=now)

    refused = Event.objects.filter(action="patient.search", outcome="denied")
    assert [one.actor_id for one in refused] == [str(chen.pk)] * 2
    assert found(ByDocument("11010119900307002X"), sun, at=now).patients
    assert found(ByDocument("11010119900307002X"), chen, at=now + timedelta(minutes=1)).patients


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_windows_that_ask_at_once_share_their_turns(chen, monkeypatch):
    monkeypatch.setattr(finding, "PER_MINUTE", 2)
    now = timezone.now().replace(second=0)
    together, answered, refused = threading.Barrier(6), [], []

    def window():
        together.wait()
        try:
            answered.append(found(ByDocument("E00000000"), chen, at=now))
        except TooOften as exc:
            refused.append(exc)
        finally:
            connection.close()

    windows = [threading.Thread(target=window) for _ in range(6)]
    for one in windows:
        one.start()
    for one in windows:
        one.join()

    assert (len(answered), len(refused)) == (2, 4)


def test_of_a_flood_of_refusals_the_trail_keeps_some_and_counts_the_rest(chen, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr(finding, "PER_MINUTE", 0)
    monkeypatch.setattr(flood, "RECORDED", 2)
    now = timezone.now()
    for _ in range(5):
        with pytest.raises(TooOften):
            found(ByDocument("E00000000"), chen, at=now)

    assert Event.objects.filter(action="patient.search", outcome="denied").count() == 2
    monkeypatch.setattr(flood, "RECORDED", 100)
    with pytest.raises(TooOften):
        found(ByDocument("E00000000"), chen, at=now)
    assert '"suppressed":3' in Event.objects.filter(action="patient.search").latest("pk").payload


def test_who_guesses_is_stopped_and_an_alarm(patients, chen, sun, monkeypatch):
    monkeypatch.setattr(finding, "MISSES_PER_HOUR", 3)
    now = timezone.now()
    for day in range(3):
        found(ByNameAndBirth("张三", date(1990, 1, 1 + day)), chen, at=now)

    with pytest.raises(TooManyMisses):
        found(ByNameAndBirth("张三", BORN), chen, at=now + timedelta(minutes=30))

    alarms.watch(at=now + timedelta(minutes=31))
    stopped = Finding.objects.get(kind="search-stopped")
    assert (stopped.severity, stopped.facts["actor_id"]) == ("alert", str(chen.pk))
    assert found(ByNameAndBirth("张三", BORN), sun, at=now).patients
    later = now + timedelta(hours=1, seconds=1)
    assert found(ByNameAndBirth("张三", BORN), chen, at=later).patients == [patients["张三"]]


def test_who_finds_people_is_not_guessing(patients, chen, monkeypatch):
    monkeypatch.setattr(finding, "MISSES_PER_HOUR", 1)

    for _ in range(3):
        assert found(ByDocument("11010119900307002X"), chen).patients


@pytest.mark.parametrize(
    ("document_type", "number"),
    [
        (2, "ABC12345678"),
        (2, "ABC19900506"),
        (2, "P1234567890"),
        (2, "P0000000000"),
        (3, "军字第20019885号"),
        (3, "参字第10012345号"),
        (4, "士字第19850312号"),
        (8, "京公警12345678"),
        (11, "12-3456789012345"),
        (11, "1990-05-06"),
        (11, "A1"),
    ],
)
def test_whatever_the_desk_registers_is_found_as_it_is_printed(chen, document_type, number, db):
    known = enrolment.Person("李四", document_type, number)
    patient, _ = enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())

    question = asked.read(number, today=timezone.localdate())

    assert found(question, chen).patients == [patient]


def test_letters_and_a_day_are_a_passport_and_a_person(chen, db):
    people = [
        enrolment.Person("Ann Lee", 2, "ABC19900506"),
        enrolment.Person("ABC", 2, "E1", birth_date=date(1990, 5, 6)),
    ]
    both = {
        enrolment.enrol(one, accounts={}, campus="main", at=timezone.now())[0] for one in people
    }

    question = asked.read("ABC 19900506", today=timezone.localdate())

    assert set(found(question, chen).patients) == both


def test_a_passport_elsewhere_that_looks_like_a_person_is_said_to_be_a_document(chen, db):
    known = enrolment.Person("Ann Lee", 2, "ABC19900506")
    enrolment.enrol(known, accounts={}, campus="east", at=timezone.now())

    question = asked.read("ABC19900506", today=timezone.localdate())

    assert found(question, chen).elsewhere == "document"


# The page


@pytest.fixture
def desk(client, chen):
    client.force_login(chen)
    return client


def typed(desk, text):
    return desk.post(reverse("desk:find"), {"typed": text})


def test_the_page_shows_who_was_found_masked(desk, patients):
    shown = typed(desk, "110101199003070046\r\n").text

    assert "找到 1 位患者" in shown
    assert "张*英" in shown
    assert "张小英" not in shown
    assert "1101011990030700" not in shown
    assert reverse("desk:patient", args=[patients["张小英"].pk]) in shown
    assert reverse("desk:slip", args=[patients["张小英"].pk]) in shown


def test_what_was_typed_gets_into_no_address_and_no_store(desk, patients):
    answer = typed(desk, "11010119900307002X")

    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    assert "E12345678" not in desk.get(reverse("desk:find"), {"typed": "E12345678"}).text
    assert "110101" not in str(dict(desk.session))


def test_nobody_found_can_be_registered_with_what_was_typed(desk, db):
    shown = typed(desk, "E 1111 2222").text

    assert "没有找到" in shown
    assert '<input type="hidden" name="prefill" value="E 1111 2222">' in shown
    assert f'action="{reverse("desk:register")}"' in shown


def test_a_doubt_is_told_with_the_empty_answer(desk, db):
    assert asked.DOUBTFUL_CHECK in typed(desk, "110101199003070021").text


def test_a_record_elsewhere_is_taken_over_and_not_made_anew(desk, easterner):
    shown = typed(desk, "E12345678").text

    assert "该证件已在其他院区建档" in shown
    assert "在本院区登记" in shown
    assert not [
        word for word in ("李", "*四", easterner.number, str(easterner.pk)) if word in shown
    ]


def test_what_is_unclear_is_said_and_looked_for_nowhere(desk, patients):
    shown = typed(desk, "张三").text

    assert asked.NAME_ALONE in shown
    assert 'value="张三"' in shown
    assert not Event.objects.filter(action="patient.search").exists()


def test_too_many_questions_are_a_429(desk, patients, monkeypatch):
    monkeypatch.setattr(finding, "PER_MINUTE", 0)

    answer = typed(desk, "11010119900307002X")

    assert answer.status_code == 429
    assert "查找过于频繁，请一分钟后再试" in answer.text
    assert "*三" not in answer.text


def test_one_patient_who_cannot_be_read_does_not_take_the_page_with_them(desk, patients):
    keyring.destroy(patients["张三"].pk)

    shown = typed(desk, patients["张三"].number).text

    assert "已依法删除" in shown
    assert reverse("desk:slip", args=[patients["张三"].pk]) not in shown


def test_who_may_not_search_has_no_box(client, gu):
    client.force_login(gu)

    assert client.get(reverse("desk:find")).status_code == 403
    assert typed(client, "E12345678").status_code == 403


def test_many_found_cost_as_many_queries_as_one(desk, patients, monkeypatch):
    minutes.stop(monkeypatch)  # the first search of a minute takes more
    for number in ("110101199003070101", "110101199003070128", "110101199003070144"):
        known = enrolment.Person("张三", 1, number)
        enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())
    typed(desk, "张小英 1990-03-07")

    keyring.clear()  # as in a process that has not seen them yet
    with CaptureQueriesContext(connection) as one:
        typed(desk, "张小英 1990-03-07")
    keyring.clear()
    with CaptureQueriesContext(connection) as many:
        shown = typed(desk, "张三 1990-03-07").text

    assert "找到 4 位患者" in shown
    assert len(many) == len(one)
    assert not [query for query in many if "COUNT(" in query["sql"] and "cache" not in query["sql"]]
