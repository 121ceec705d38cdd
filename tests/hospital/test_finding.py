import pytest
from django.utils import timezone

from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.patients import enrolment, finding
from hospital.patients.finding import TooMany, by_part_of_name
from hospital.patients.models import Patient

PEOPLE = {
    "张三": "11010119900307002X",
    "张小英": "110101199003070046",
    "阿依古丽·买买提": "110101199003070062",
}


@pytest.fixture
def patients(db):
    return {
        name: enrolment.enrol(
            enrolment.Person(name, 1, number), accounts={"wx1": f"o-{number}"}, at=timezone.now()
        )[0]
        for name, number in PEOPLE.items()
    }


def search(part, by, among=None):
    everybody = Patient.objects.all() if among is None else among
    return by_part_of_name(everybody, part, by=by, at=timezone.now())


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("张", {"张三", "张小英"}),
        ("小英", {"张小英"}),
        (" 阿依古丽•", {"阿依古丽·买买提"}),
        ("李", set()),
        (" ", set()),
    ],
    ids=["surname", "given-name", "other-dot", "nobody", "blank"],
)
def test_part_of_a_name_finds_those_who_have_it(patients, chen, part, names):
    assert {one.real_name for one in search(part, chen)} == names


def test_only_the_narrowed_set_is_opened(patients, chen):
    narrowed = Patient.objects.filter(pk=patients["张三"].pk)

    assert search("张", chen, narrowed) == [patients["张三"]]
    assert '"opened":1' in Event.objects.get(action="patient.search").payload


def test_a_set_that_is_too_wide_is_refused_before_anything_is_opened(patients, chen, monkeypatch):
    monkeypatch.setattr(finding, "CAP", 2)

    with pytest.raises(TooMany):
        search("张", chen)
    assert not Event.objects.filter(action="patient.search").exists()


def test_the_search_is_on_record_without_what_was_looked_for(patients, chen):
    search("张", chen)

    payload = Event.objects.get(action="patient.search").payload
    assert '"count":2' in payload
    assert str(patients["张三"].pk) in payload
    assert "张" not in payload


def test_the_forgotten_are_passed_over(patients, chen):
    keyring.destroy(patients["张三"].pk)

    assert search("张", chen) == [patients["张小英"]]
