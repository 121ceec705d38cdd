"""An examination opens everything, names what is wrong and never what it is."""

import json
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from hospital.audit.models import Event
from hospital.crypto import epochs, index_keys, keyring
from hospital.crypto.models import DataKey, IndexKey, Job
from hospital.crypto.rotation import checking
from hospital.crypto.suites import Mac
from hospital.patients.enrolment import Person, enrol
from hospital.patients.models import Patient

pytestmark = pytest.mark.django_db

NAME, NUMBER = "张三", "110101199003070038"


@pytest.fixture(autouse=True)
def nobody_remembers(settings):
    settings.KEY_CACHE_SECONDS = 0
    settings.IN_HAND_SECONDS = 0
    keyring.clear()


@pytest.fixture
def zhang():
    person = Person(NAME, 1, NUMBER)
    return enrol(person, accounts={"wx1": "o-1"}, campus="main", at=timezone.now())[0]


def check(*args):
    """Return what was said, and the exit code."""
    out = StringIO()
    try:
        call_command("sealcheck", *args, stdout=out)
    except CommandError as exc:
        return out.getvalue(), exc.returncode
    return out.getvalue(), 0


def found():
    return [(one["model"], one["field"], one["error"]) for one in Job.objects.latest("pk").findings]


def scribble(column, value, number):
    """Write past the models, as an intruder in the database would."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE patients_patient SET {column} = %s WHERE number = %s",  # noqa: S608
            [value, number],
        )


def test_where_all_is_well_it_says_so(zhang):
    said, code = check()

    assert code == 0
    assert "密钥 5 个，封存的数据 3 条，索引值 3 个，不符 0 处" in said
    assert Job.objects.get().state == "done"


@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param(b"", "NotSealed", id="nothing"),
        pytest.param("张三".encode(), "NotSealed", id="plaintext"),
        pytest.param(b"\xfe\x01\x01\x01\0\0\0\x01" + bytes(60), "Tampered", id="forged"),
        pytest.param(b"\xfe\x01\x01\x01\0\0\0\x09" + bytes(60), "UnknownKey", id="no such key"),
        pytest.param(b"\xfe\x01\x09\x01\0\0\0\x01" + bytes(60), "UnsupportedSuite", id="suite"),
    ],
)
def test_a_value_that_does_not_open_is_named(zhang, value, error):
    scribble("real_name", value, zhang.number)

    said, code = check()

    assert code == 1
    assert ("patients.patient", "real_name", error) in found()
    assert str(zhang.pk) in said


def test_a_value_moved_from_another_patient_is_named(zhang):
    other, _ = enrol(Person("李四", 2, "E1"), accounts={}, campus="main", at=timezone.now())
    theirs = Patient.objects.values_list("real_name").get(pk=other.pk)[0].blob
    scribble("real_name", theirs, zhang.number)

    _said, code = check()

    assert code == 1
    assert ("patients.patient", "real_name", "Tampered") in found()


@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        pytest.param("document_index", "f" * 32, "IndexDiffers", id="of somebody else"),
        pytest.param("document_index", None, "IndexDiffers", id="missing"),
        pytest.param("document_index_b", "f" * 32, "IndexLeftOver", id="of no version"),
    ],
)
def test_a_digest_that_is_not_that_of_its_row_is_named(zhang, column, value, error):
    scribble(column, value, zhang.number)

    _said, code = check()

    assert code == 1
    assert found() == [("patients.patient", column, error)]


def test_a_column_that_is_being_filled_may_have_gaps(zhang):
    index_keys.new_key(
        "patient.document",
        2,
        normaliser="opaque/1",
        algorithm=Mac.HMAC_SHA256,
        state="filling",
        epoch=epochs.active(),
    ).save()

    assert check()[1] == 0

    scribble("document_index_b", "f" * 32, zhang.number)
    assert check()[1] == 1
    assert found() == [("patients.patient", "document_index_b", "IndexDiffers")]


@pytest.mark.parametrize("damage", ["wrapped", "check_value"])
def test_keys_that_do_not_unwrap_are_named(zhang, damage):
    DataKey.objects.update(**{damage: bytes(8)})
    IndexKey.objects.filter(label="patient.document").update(wrapped=bytes(60))
    keyring.clear()

    _said, code = check()

    assert code == 1
    assert ("crypto.datakey", "wrapped", "WrongKey") in found()
    assert ("crypto.indexkey", "wrapped", "WrongKey") in found()


def test_who_is_erased_is_counted_apart(zhang):
    keyring.destroy(zhang.pk)
    Patient.objects.update(document_index=None, name_birth_index=None)
    zhang.wechat_accounts.update(openid_index=None)

    said, code = check()

    assert code == 0
    assert "已依法删除的主体 1 个（其数据 3 条" in said


def test_a_key_without_any_row_is_counted(zhang):
    keyring.data_key(keyring.SYSTEM_SUBJECT)
    keyring.data_key(uuid4())

    said, code = check()

    assert code == 0
    assert "没有数据的密钥主体 1 个" in said


def test_a_digest_many_share_can_be_counted(monkeypatch):
    monkeypatch.setattr(checking, "_SHARED_BY", 2)
    for n in range(3):
        number = f"11010119900307{n}038"
        Patient.objects.create(
            number=f"P-{n}",
            real_name=NAME,
            document_type=1,
            document_number=number,
            created_at=timezone.now(),
        )

    _said, code = check()

    assert code == 1
    assert found() == [("patients.patient", "name_birth_index", "Countable")]


def test_an_examination_broken_off_begins_anew(zhang, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(checking, "_shared", lambda *_args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            check()
    scribble("real_name", b"", zhang.number)

    _said, code = check()

    assert code == 1
    assert Job.objects.count() == 1


def test_machines_read_json(zhang):
    scribble("real_name", b"", zhang.number)

    said, code = check("--json")

    report = json.loads(said)
    assert code == 1
    assert report["values"] == 3
    assert {one["error"] for one in report["findings"]} == {"NotSealed"}


def test_it_is_on_record_and_names_nobody(zhang):
    scribble("document_index", "f" * 32, zhang.number)

    said = "".join(check(*args)[0] for args in ((), ("--json",)))

    for secret in (NAME, NUMBER, "f" * 32, "o-1"):
        assert secret not in said
    event = json.loads(Event.objects.filter(action="keys.check").first().payload)
    assert event["facts"]["failed"] == 1
    assert event["outcome"] == "failed"
