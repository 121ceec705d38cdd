"""Two of one name and birth date at two desks in the same second: one is shown the other."""

from datetime import date

import pytest

from hospital.patients import registering
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import Patient
from hospital.patients.registering import Cause, Evidence
from tests.hospital.test_registering import an_entry, enter

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("really_postgresql"),
]

MOTHERS = "甲乙丙丁戊己庚辛壬癸"


def test_of_two_at_the_same_moment_one_is_asked_first(chen, sun, at_once):
    for count, mother in enumerate(MOTHERS, start=1):
        child = Person(f"{mother}三之子", DocumentType.NEWBORN, "", date(2026, 11, 20))
        told = []

        def work(by, child=child, told=told):
            born = an_entry(child, cause=Cause.NEWBORN, evidence=Evidence.GUARDIAN, agrees=True)
            try:
                enter(born, by=by)
            except registering.Alike:
                told.append(by)

        at_once(lambda work=work: work(chen), lambda work=work: work(sun))

        assert len(told) == 1
        assert Patient.objects.count() == count
