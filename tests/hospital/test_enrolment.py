from datetime import date

import pytest
from django.utils import timezone
from stdnum import luhn

from hospital.patients import documents, enrolment
from hospital.patients.models import Patient, WechatAccount

ZHANG = enrolment.Person("张三", 1, "11010119900307002X")


def enrol(person=ZHANG, **accounts):
    return enrolment.enrol(
        person, accounts=accounts or {"wx1": "o-zhang"}, campus="main", at=timezone.now()
    )


def test_a_person_becomes_a_patient_with_a_number_that_tells_nothing(db):
    patient, is_new = enrol()

    assert is_new
    assert patient.number[0] == "P"
    assert luhn.is_valid(patient.number[1:])
    assert str(patient) == patient.number


def test_the_same_document_is_the_same_patient(db):
    first, _ = enrol()
    second, is_new = enrol()

    assert second == first
    assert not is_new
    assert first.identifications.count() == 2


@pytest.mark.parametrize("number", ["11010119900307002x", " 11010119900307002X "])
def test_case_and_spaces_do_not_make_another_patient(db, number):
    first, _ = enrol()

    second, _ = enrol(enrolment.Person("张三", 1, number))

    assert second == first


def test_the_old_fifteen_digit_number_is_the_same_person(db):
    first, _ = enrol()

    second, _ = enrol(enrolment.Person("张三", 1, "110101900307002"))

    assert second == first


@pytest.mark.parametrize("kind", [6, 7])
def test_temporary_card_and_household_book_carry_the_same_number(db, kind):
    first, _ = enrol()

    second, _ = enrol(enrolment.Person("张三", kind, ZHANG.document_number))

    assert second == first


def test_another_spelling_of_the_same_name_is_the_same_name(db):
    first, _ = enrol(enrolment.Person("阿不都·热西提", 2, "E1"))

    second, _ = enrol(enrolment.Person("阿不都•热西提", 2, "e1"))

    assert second == first


def test_a_passport_with_the_same_characters_is_another_document(db):
    enrol(enrolment.Person("张三", 2, "E12345678"))
    _, is_new = enrol(enrolment.Person("张三", 9, "E12345678"))

    assert is_new


def test_another_name_on_the_same_document_is_refused(db):
    enrol()

    with pytest.raises(enrolment.NameDiffers):
        enrol(enrolment.Person("李四", 1, ZHANG.document_number))

    assert Patient.objects.count() == 1


def test_a_name_and_birth_date_find_the_patient(db):
    patient, _ = enrol()

    assert Patient.objects.named("张三", born=date(1990, 3, 7)).get() == patient
    assert not Patient.objects.named("张三", born=date(1990, 3, 8)).exists()


def test_a_wechat_account_follows_the_newest_proof(db):
    enrol(wx1="o-shared")
    other, _ = enrol(enrolment.Person("李四", 2, "E12345678"), wx1="o-shared")

    assert WechatAccount.objects.with_openid("wx1", "o-shared").get().patient == other


def test_the_person_is_not_in_a_repr(db):
    patient, _ = enrol()

    for shown in (repr(ZHANG), repr(patient), str(patient), repr(patient.__dict__)):
        assert "张三" not in shown
        assert "110101" not in shown


@pytest.mark.parametrize(
    ("born", "today", "age"),
    [
        (date(2012, 11, 20), date(2026, 11, 19), 13),
        (date(2012, 11, 20), date(2026, 11, 20), 14),
        (date(2012, 2, 29), date(2026, 2, 28), 13),
        (date(2012, 2, 29), date(2026, 3, 1), 14),
    ],
)
def test_age_is_counted_to_the_day(born, today, age):
    assert documents.age(born, today=today) == age


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("张三", "*三"),
        ("王小英", "王*英"),
        ("欧阳娜娜", "欧**娜"),
        ("阿不都热西提·吐尔逊江", "阿****江"),
        ("王", "*"),
        ("", "*"),
    ],
)
def test_a_masked_name_keeps_only_its_ends(name, masked):
    assert documents.masked_name(name) == masked


@pytest.mark.parametrize(
    ("kind", "number", "born"),
    [
        (1, "11010119900307002X", date(1990, 3, 7)),
        (1, "110101900307002", date(1990, 3, 7)),
        (7, "11010119900307002X", date(1990, 3, 7)),
        (1, "11010119900231001X", None),
        (2, "E12345678", None),
    ],
)
def test_a_birth_date_is_read_off_a_citizen_number_only(kind, number, born):
    assert documents.birth_date(kind, number) == born
