"""A patient in the words of FHIR, and what becomes of the other system's own."""

from datetime import date

import pytest
from fhir.resources.R4B.patient import Patient as Model
from hypothesis import given
from hypothesis import strategies as some

from hospital.his import fhir
from hospital.his.errors import Refused
from hospital.patients.documents import WITHOUT_NUMBER, DocumentType, temporary_name
from hospital.patients.models import Patient

URI = "https://hospital.invalid/patients"
NUMBER = "P1000000024"


def patient(**fields):
    return Patient(
        **{
            "number": NUMBER,
            "real_name": "张三",
            "document_type": DocumentType.RESIDENT,
            "document_number": "11010119900307002X",
        }
        | fields
    )


def described(**fields):
    return fhir.described(patient(**fields), system=URI, source=f"{URI}#1")


def test_a_citizen():
    ours = described()

    assert ours.resource == {
        "resourceType": "Patient",
        "meta": {"source": f"{URI}#1"},
        "identifier": [
            {
                "use": "usual",
                "type": {"coding": [{"system": fhir.TYPES, "code": "MR"}]},
                "system": URI,
                "value": NUMBER,
            },
            {
                "id": "verified-document",
                "use": "official",
                "type": {
                    "coding": [
                        {"system": fhir.TYPES, "code": "NI"},
                        {"system": fhir.KINDS, "code": "01"},
                    ],
                    "text": "居民身份证",
                },
                "system": "urn:oid:2.16.156.10011.1.3",
                "value": "11010119900307002X",
            },
        ],
        "active": True,
        "name": [{"use": "official", "text": "张三"}],
        "gender": "female",
        "birthDate": "1990-03-07",
    }
    assert "张三" not in repr(ours)


@pytest.mark.parametrize(
    ("digit", "gender"), [("1", "male"), ("2", "female"), ("9", "male"), ("0", "female")]
)
def test_an_odd_number_is_a_mans(digit, gender):
    assert described(document_number=f"1101011990030700{digit}X").resource["gender"] == gender


def test_the_old_number_is_sent_as_the_new_one():
    ours = described(document_number="110101900307002").resource

    assert ours["identifier"][1]["value"] == "11010119900307002X"


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (DocumentType.PASSPORT, ["PPN", "03"]),
        (DocumentType.HOME_RETURN, ["06"]),
        (DocumentType.TAIWAN, ["07"]),
        (DocumentType.OFFICER, ["MI", "04"]),
        (DocumentType.BIRTH_CERTIFICATE, ["BCT", "99"]),
        (DocumentType.OTHER, ["99"]),
    ],
)
def test_other_documents_have_a_kind_and_say_no_more_than_they_do(kind, codes):
    ours = described(document_type=kind, document_number="E12345678", birth_date="1990-03-07")

    document = ours.resource["identifier"][1]
    assert [one["code"] for one in document["type"]["coding"]] == codes
    assert "system" not in document
    assert "gender" not in ours.resource
    assert ours.resource["birthDate"] == "1990-03-07"
    assert "gender" not in ours.fields


def test_every_document_of_a_patient_has_a_kind():
    known = set(DocumentType) - {DocumentType.BUSINESS} - WITHOUT_NUMBER

    assert set(fhir._CODES) == known


def test_who_nobody_knows_has_a_temporary_name_and_no_document():
    ours = described(
        document_type=DocumentType.EMERGENCY, document_number=None, real_name=temporary_name(NUMBER)
    )

    assert ours.resource["name"][0]["use"] == "temp"
    assert len(ours.resource["identifier"]) == 1
    assert "birthDate" not in ours.resource
    assert ours.fields == ("number", "real_name", "document_type")


def test_what_fhir_cannot_say_is_refused_without_saying_it():
    with pytest.raises(Refused) as refused:
        described(real_name="")

    assert refused.value.fact == "unfit"
    assert refused.value.__context__ is None


@given(
    name=some.text(min_size=1, max_size=40).filter(lambda name: name.strip() == name),
    kind=some.sampled_from(sorted(fhir._CODES)),
    born=some.dates(min_value=date(1900, 1, 1), max_value=date(2026, 11, 22)),
)
def test_whatever_is_sent_is_a_patient_of_r4(name, kind, born):
    try:
        ours = described(
            real_name=name,
            document_type=kind,
            document_number="E12345678",
            birth_date=born.isoformat(),
        )
    except Refused:
        return
    assert Model.model_validate(ours.resource).birthDate == born


def stored(**fields):
    return described().resource | {"id": "7", "meta": {"versionId": "3", "tag": [{"code": "x"}]}}


def test_what_is_right_already_is_left_alone():
    theirs = stored()

    assert fhir.corrected(theirs, described().resource) == theirs


def test_only_who_somebody_is_is_put_right():
    photo = [{"contentType": "image/jpeg"}]
    theirs = stored() | {
        "text": {"status": "generated", "div": "<div>张三</div>"},
        "photo": photo,
        "name": [{"text": "张三"}, {"use": "maiden", "text": "李三"}],
        "active": False,
    }

    after = fhir.corrected(theirs, described(real_name="张山").resource)

    assert after["name"] == [{"use": "official", "text": "张山"}, {"use": "maiden", "text": "李三"}]
    assert after["photo"] == photo
    assert after["active"] is False
    assert "text" not in after
    assert after["meta"] == {"versionId": "3", "tag": [{"code": "x"}], "source": f"{URI}#1"}
    assert theirs["name"][0]["text"] == "张三"


def test_a_passport_they_know_of_stays_beside_our_identity_card():
    passport = {
        "type": {"coding": [{"system": fhir.TYPES, "code": "PPN"}]}, "value": "E12345678",
    }  # fmt: skip
    theirs = stored()
    theirs["identifier"] = [*theirs["identifier"], passport]

    after = fhir.corrected(theirs, described(document_number="110101199003070038").resource)

    assert [one["value"] for one in after["identifier"]] == [
        NUMBER, "110101199003070038", "E12345678",
    ]  # fmt: skip


def test_our_number_with_words_of_theirs_is_not_doubled():
    theirs = stored()
    theirs["identifier"][0] = theirs["identifier"][0] | {"assigner": {"display": "本院"}}

    after = fhir.corrected(theirs, described().resource)

    assert [one["value"] for one in after["identifier"]] == [NUMBER, "11010119900307002X"]


@given(
    some.recursive(
        some.none() | some.booleans() | some.integers() | some.text(max_size=5),
        lambda inner: (
            some.lists(inner, max_size=3)
            | some.dictionaries(
                some.sampled_from(
                    [
                        "identifier",
                        "name",
                        "type",
                        "coding",
                        "meta",
                        "text",
                        "system",
                        "use",
                        "link",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
    ).map(lambda value: value if isinstance(value, dict) else {"identifier": value, "name": value})
)
def test_nothing_another_system_says_breaks_it(theirs):
    after = fhir.corrected(theirs, described().resource)

    assert after["name"][0] == {"use": "official", "text": "张三"}
    fhir.is_replaced(theirs)
    fhir.has_identifier(theirs, system=URI, value=NUMBER)


@pytest.mark.parametrize("use", [[], {}, None, 1])
def test_a_name_whose_use_is_no_word_is_told_apart(use):
    after = fhir.corrected({"name": [{"use": use, "text": "李三"}]}, described().resource)

    assert after["name"][0]["text"] == "张三"


def test_what_is_nested_deeper_than_python_copies_stays_as_it_is():
    deep = []
    for _ in range(900):
        deep = [deep]

    after = fhir.corrected({"extension": deep}, described().resource)

    assert after["extension"] is deep
