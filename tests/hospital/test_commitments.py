"""The trail commits to values nobody can read from it, and to who each patient was."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from uuid6 import uuid7

from hospital.audit import commitments
from hospital.audit.actions import Action
from hospital.audit.kept import Commitment
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from hospital.crypto import keyring
from hospital.patients import enrolment, identity
from tests.hospital.notarised import BOTH, House

ZHANG = enrolment.Person("张三", 1, "11010119900307002X")


@pytest.fixture(params=BOTH)
def either(request, db):
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


def test_a_digest_opens_with_its_value_and_no_other(db):
    digest = commitments.commit("张三", subject=uuid7())

    assert commitments.opens(digest, "张三") is True
    assert commitments.opens(digest, "张三".encode()) is True
    assert commitments.opens(digest, "李四") is False


def test_the_same_value_twice_is_two_digests(either):
    subject = uuid7()

    first, second = (commitments.commit("张三", subject=subject) for _ in range(2))

    assert first != second
    assert len(first) == 64


def test_what_was_forgotten_opens_with_nothing(db):
    subject, other = uuid7(), uuid7()
    digest, kept = (commitments.commit("张三", subject=one) for one in (subject, other))

    assert commitments.forget(subject) == 1

    assert commitments.opens(digest, "张三") is None
    assert commitments.opens(kept, "张三") is True
    assert commitments.opens("00" * 32, "张三") is None


def test_a_salt_put_in_its_place_opens_nothing(db):
    digest = commitments.commit("张三", subject=uuid7())

    Commitment.objects.update(salt=b"x" * 32)

    assert commitments.opens(digest, "张三") is False


def test_a_salt_goes_and_every_proof_stays(either, tmp_path):
    house, subject = House(tmp_path), uuid7()
    digest = commitments.commit("张三", subject=subject)
    with transaction.atomic():
        record(Action.PATIENT_ONBOARD, by=SYSTEM, on=None, at=house.now, identity=digest)
    house.seal(2)

    commitments.forget(subject)

    assert [one for one in house.verify().findings if one.kind != "unrecorded"] == []


@pytest.fixture
def patient(db):
    """张三, as an onboarding leaves them."""
    return onboard(ZHANG)


def onboard(person):
    now = timezone.now()
    with transaction.atomic():
        patient, _ = enrolment.enrol(person, accounts={"wx1": "o-zhang"}, campus="main", at=now)
        record(
            Action.PATIENT_ONBOARD,
            by=SYSTEM,
            on=patient,
            at=now,
            identity=identity.commit(patient),
        )
    return patient


def agrees():
    """Return what is said of the only patient."""
    [(_, said)] = identity.compared()
    return said


def test_a_patient_is_who_was_verified(patient):
    onboard(enrolment.Person("张三", 7, ZHANG.document_number))  # with the household book

    assert Commitment.objects.filter(subject=patient.pk).count() == 2
    assert agrees() is True


@pytest.mark.parametrize(
    "change",
    [{"real_name": "李四"}, {"document_number": "110101199003070046"}, {"document_type": 2}],
)
def test_whoever_was_put_in_their_place_is_not(patient, change):
    for name, value in change.items():
        setattr(patient, name, value)
    patient.save()

    assert agrees() is False


def test_nor_is_one_whose_commitment_was_removed(patient):
    commitments.forget(patient.pk)

    assert agrees() is False


@pytest.mark.parametrize(
    ("facts", "expected"),
    [("", True), (',"facts":7', True), (',"facts":{"identity":[7]}', True),
     (',"facts":{"identity":"x"}', False)],
)  # fmt: skip
def test_a_forged_onboarding_stops_no_check_and_vouches_for_nobody(patient, facts, expected):
    thing = f'{{"type":"patients.patient","id":"{patient.pk}"}}'
    line = f'{{"t":1,"action":"patient.onboard","object":{thing}{facts}}}'
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (uid, payload, mac, mac_key) VALUES (%s, %s, %s, 1)",
            ["7" * 32, line, b"x"],
        )

    assert agrees() is expected


def test_of_who_was_onboarded_before_nothing_is_known(db):
    enrolment.enrol(ZHANG, accounts={"wx1": "o"}, campus="main", at=timezone.now())

    assert agrees() is None


def test_nor_of_who_is_erased(patient):
    keyring.destroy(patient.pk)
    commitments.forget(patient.pk)

    assert agrees() is None


def test_the_trail_states_neither_name_nor_number_nor_salt(patient):
    payload = Event.objects.on(patient).get().payload
    salt = bytes(Commitment.objects.get().salt)

    assert "张三" not in payload
    assert ZHANG.document_number not in payload
    assert salt.hex() not in payload


def test_the_check_of_what_is_sealed_finds_a_name_that_was_swapped(patient, capsys):
    onboard(enrolment.Person("李四", 2, "E12345678"))
    call_command("sealcheck")
    assert "相符 2 人，不符 0 人" in capsys.readouterr().out
    patient.real_name = "王五"
    patient.save()

    with pytest.raises(CommandError, match="1 处不符"):
        call_command("sealcheck")

    said = capsys.readouterr().out
    assert f"{patient.pk}：与建档时核验的身份不符" in said
    assert "王五" not in said
    event = Event.objects.filter(action="keys.check").latest("id")
    assert event.outcome == "failed"
    assert json.loads(event.payload)["facts"]["differing"] == 1
