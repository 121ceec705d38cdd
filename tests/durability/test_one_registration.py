"""One person at two desks, or one form sent twice: one patient."""

from datetime import date

import pytest

from hospital.patients import registering
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import Identification, Patient, Registration
from tests.hospital.test_registering import an_entry, citizen, enter

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("really_postgresql"),
]

ROUNDS = 10


@pytest.mark.parametrize("is_one_form", [True, False], ids=["double click", "two desks"])
def test_two_at_the_same_moment_make_one_patient(chen, sun, at_once, is_one_form):
    for order in range(1, ROUNDS + 1):
        person = Person("张三", DocumentType.RESIDENT, citizen(date(1990, 3, 7), order))
        entry = an_entry(person)
        other = entry if is_one_form else an_entry(person)
        told = []

        def work(one, by, told=told):
            try:
                told.append(enter(one, by=by, anyway=True).patient_id)
            except registering.Known as exc:
                told.append(exc.patient.pk)

        at_once(
            lambda entry=entry: work(entry, chen),
            lambda other=other: work(other, chen if is_one_form else sun),
        )

        assert len(told) == 2
        assert len(set(told)) == 1
        assert Patient.objects.count() == order
    assert Identification.objects.count() == Registration.objects.count() == ROUNDS
