"""
What somebody with the database, a backup, a log or a debug page tries, and gets.

Swapped rows, columns and patients and a change of any byte are in test_sealed_fields.py,
what queries refuse in test_sealed_records.py.
"""

import hashlib
import io
import json
import logging
import sys
import threading
import unittest
from datetime import date
from pathlib import Path

import pytest
from django import forms
from django.core import serializers
from django.core.exceptions import FieldError, ValidationError
from django.core.serializers.base import DeserializationError
from django.db import Error, connection, connections, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.forms.models import model_to_dict
from django.template import Context, Engine
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.views.debug import ExceptionReporter
from rest_framework import serializers as rest
from uuid6 import uuid7

from hospital.crypto import data_keys, epochs, keyring
from hospital.crypto.fields import SealedField, seal_text
from hospital.crypto.indexes import BlindIndex, Spread, blind_indexes
from hospital.crypto.keyring import SYSTEM_SUBJECT, KeyUnavailable, WrongKey
from hospital.crypto.models import DataKey, IndexKey
from hospital.crypto.sealing import NotSealed, Tampered, Unopenable, UnsupportedSuite, seal
from hospital.crypto.texts import placed
from hospital.patients import documents
from hospital.patients.models import Patient, WechatAccount

# Committed, as in a hospital: what has its key at hand takes another way than what has not.
pytestmark = pytest.mark.django_db(transaction=True)

NAME = "金丝" + "雀"  # nowhere in the source, since a debug page quotes that, too
DOCUMENT = "11010119900307" + "001X"
CRYPTO = str(Path(keyring.__file__).parent)
MASK = "<sealed patient.real_name>"


def enrolled(name=NAME, document=DOCUMENT):
    return Patient.objects.create(
        number=f"P{uuid7().hex[-12:]}",
        real_name=name,
        document_type=documents.DocumentType.RESIDENT,
        document_number=document,
        created_at=timezone.now(),
    )


@pytest.fixture
def patient():
    return enrolled()


def again(patient):
    return type(patient).objects.get(pk=patient.pk)


def stored(patient, column="real_name"):
    return bytes(columns(patient)[column])


def columns(patient):
    with connection.cursor() as cursor:
        key = patient._meta.pk.get_db_prep_value(patient.pk, connection)
        cursor.execute("SELECT * FROM patients_patient WHERE id = %s", [key])
        return dict(zip([one[0] for one in cursor.description], cursor.fetchone(), strict=True))


def store(patient, blob, column="real_name"):
    with connection.cursor() as cursor:
        key = patient._meta.pk.get_db_prep_value(patient.pk, connection)
        cursor.execute(f"UPDATE patients_patient SET {column} = %s WHERE id = %s", [blob, key])  # noqa: S608


# Downgrades: every field of the header, one after the other.


@pytest.mark.parametrize(
    ("at", "byte", "error"),
    [
        (0, 0xFF, NotSealed),
        (1, 0, NotSealed),
        (1, 2, NotSealed),
        (2, 0, UnsupportedSuite),
        (2, 2, Tampered),
        (2, 3, UnsupportedSuite),
        (3, 0, NotSealed),
        (3, 3, NotSealed),
        (7, 0, NotSealed),
        (7, 2, Unopenable),
    ],
    ids=[
        "magic", "older version", "newer version", "no suite", "other suite", "unknown suite",
        "not padded", "unknown flag", "no generation", "other generation",
    ],
)  # fmt: skip
def test_a_header_is_not_believed(patient, at, byte, error):
    blob = bytearray(stored(patient))
    blob[at] = byte
    store(patient, bytes(blob))

    with pytest.raises(error):
        _ = again(patient).real_name


@pytest.mark.parametrize("suite", ["aes-256-gcm", "sm4-gcm"])
def test_a_value_that_was_cut_off_is_never_read(settings, suite):
    settings.CRYPTO_SUITE = suite
    patient = enrolled(document="110101199003070" + "02X")
    whole = stored(patient)

    for length in range(len(whole)):
        store(patient, whole[:length])
        with pytest.raises(Unopenable):
            _ = again(patient).real_name


@pytest.mark.parametrize("manager", [Patient._base_manager, Patient.objects])
def test_no_conflict_puts_a_value_into_a_row_with_another_key(patient, manager):
    other = Patient(
        number=patient.number,
        real_name="x",
        document_type=patient.document_type,
        document_number="110101199003070" + "02X",
        created_at=timezone.now(),
    )

    with pytest.raises(FieldError, match="update_conflicts"):
        manager.bulk_create(
            [other], update_conflicts=True, update_fields=["real_name"], unique_fields=["number"]
        )

    assert again(patient).real_name == NAME


def test_what_is_refused_says_what_can_be_asked_instead():
    with pytest.raises(FieldError, match=r"Patient\.objects\.named"):
        Patient.objects.filter(real_name=NAME)
    with pytest.raises(FieldError, match=r"WechatAccount\.objects\.with_openid"):
        WechatAccount.objects.order_by("openid").first()


def test_a_value_does_not_open_with_an_older_generation_of_the_key(patient):
    first = DataKey.objects.get(subject=patient.pk)
    fresh = keyring.data_key(uuid7())
    assert fresh
    other = DataKey.objects.exclude(pk=first.pk).latest("pk")
    second = DataKey.objects.create(
        subject=patient.pk,
        generation=2,
        suite=first.suite,
        epoch=first.epoch,
        wrapped=other.wrapped,
        check_value=other.check_value,
    )
    blob = bytearray(stored(patient))
    blob[7] = second.generation
    store(patient, bytes(blob))
    keyring.clear()

    with pytest.raises(Unopenable):
        _ = again(patient).real_name


@pytest.mark.parametrize("kept", range(16))
def test_a_shortened_tag_is_not_a_tag(patient, kept):
    store(patient, stored(patient)[: -16 + kept])

    with pytest.raises(Unopenable):
        _ = again(patient).real_name


def test_a_wrong_key_is_told_from_a_changed_value(patient):
    keyring.clear()
    other = data_keys.new_key(patient.pk, 1, suite=epochs.configured_suite(), epoch=epochs.active())
    DataKey.objects.filter(subject=patient.pk).update(wrapped=other.wrapped)

    with pytest.raises(WrongKey):
        _ = again(patient).real_name


def test_bytes_sealed_by_somebody_who_seals_no_text_are_not_read(patient):
    secret = keyring.data_key(patient.pk)
    blob = seal(
        NAME.encode("gbk"),
        key=secret.key,
        generation=secret.generation,
        context="patient.real_name",
        subject=patient.pk,
        row=patient.pk,
    )
    store(patient, blob)

    with pytest.raises(Tampered) as caught:
        _ = again(patient).real_name
    assert caught.value.__context__ is None


# Guessing, counting, measuring.


def digests(value):
    return {hashlib.new(name, value).hexdigest() for name in ("md5", "sha1", "sha256", "sm3")}


def test_nothing_stored_is_a_hash_anybody_can_make(patient):
    guesses = set()
    for text in (NAME, DOCUMENT, NAME + DOCUMENT, f"{NAME}1990-03-07", f"1{DOCUMENT}"):
        for encoding in ("utf-8", "gbk", "utf-16"):
            guesses |= digests(text.encode(encoding))
    keyless = {guess[:length] for guess in guesses for length in (16, 22, 32, 40, 64)}

    found = columns(patient)

    texts = {value for value in found.values() if isinstance(value, str)}
    assert {found["document_index"], found["name_birth_index"]} <= texts
    assert not texts & keyless
    assert not any(bytes.fromhex(g)[:16] in stored(patient) for g in guesses)


def test_one_value_under_two_labels_or_two_keys_gives_digests_apart(patient):
    parts = {"document number": Spread.UNIQUE}
    one, other = (
        BlindIndex(label, column="x", parts=parts, of="x") for label in ("attack.a", "attack.b")
    )
    first = one.digest(one.keys().active, [DOCUMENT])

    assert first == one.digest(one.keys().active, [DOCUMENT])
    assert first != other.digest(other.keys().active, [DOCUMENT])
    IndexKey.objects.all().delete()
    keyring.clear()
    assert first != one.digest(one.keys().active, [DOCUMENT])


def test_two_sealings_of_one_value_have_nothing_in_common():
    blobs = [stored(enrolled(document=f"T{n}")) for n in range(20)]

    assert len({blob[8:] for blob in blobs}) == 20
    assert len({blob[8:20] for blob in blobs}) == 20
    assert len({blob[20:36] for blob in blobs}) == 20


def test_no_index_has_few_values():
    indexes = [one for model in (Patient, WechatAccount) for one in blind_indexes(model)]

    assert [one.check() for one in indexes] == [[]] * len(indexes)
    assert set(Patient.by_name_and_birth.parts) == {"full name", "birth date"}
    for counted in ({"surname": Spread.NARROW}, {"full name": Spread.WIDE}):
        careless = BlindIndex("attack.c", column="x", parts=counted, of="x")
        careless.model = Patient
        assert [one.id for one in careless.check()] == ["crypto.E008"]


def test_the_name_alone_finds_nobody(patient):
    assert Patient.objects.named(NAME, born=date(1990, 3, 7)).get() == patient
    assert not Patient.objects.named(NAME, born=date(1990, 3, 8)).exists()


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 9, 10])
def test_the_length_says_nothing(length):
    document = [DOCUMENT, "E12345678", "H1", "M00000000", "12345678901234567890"][length % 5]

    blobs = columns(enrolled("司" * length, f"{document}{length}"))

    assert len(bytes(blobs["real_name"])) == len(bytes(blobs["document_number"])) == 68


# Races.


class Form(forms.Form):
    name = forms.CharField(max_length=3)


@pytest.mark.django_db(transaction=True)
def test_no_reader_meets_ciphertext_while_others_validate():
    """What a flag shared between threads would do: after a refused form, readers get ciphertext."""
    pk, seen, stop = enrolled().pk, set(), threading.Event()
    field = Patient._meta.get_field("real_name")

    def validate():
        while not stop.is_set():
            Form({"name": "x" * 9}).is_valid()
            with pytest.raises(ValidationError):
                field.clean("x" * 999, None)
            with pytest.raises(ValidationError):
                Patient(pk=pk, real_name="x" * 999).full_clean()
        connections.close_all()

    def read():
        for _ in range(50):
            one = Patient(pk=pk)
            one.refresh_from_db()
            seen.add((one.real_name, Patient.objects.get(pk=pk).real_name, again(one).real_name))
        connections.close_all()

    threads = [threading.Thread(target=act) for act in (validate, validate, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads[2:]:
        thread.join()
    stop.set()
    for thread in threads[:2]:
        thread.join()

    assert seen == {(NAME, NAME, NAME)}


# Debug pages and whatever else collects the variables of frames.


def whisper():
    """The canary, which no frame of a caller keeps."""
    return NAME


def unreachable(*_args, **_kwargs):
    raise KeyUnavailable("away")


def assign_bytes(patient, _monkeypatch):
    patient.real_name = whisper().encode()


def assign_another_type(patient, _monkeypatch):
    patient.real_name = [whisper()]


def save_too_long(patient, _monkeypatch):
    patient.real_name = whisper() * 100
    patient.save()


def clean_too_long(patient, _monkeypatch):
    patient.real_name = whisper() * 100
    patient.full_clean()


def clean_too_long_alone(patient, _monkeypatch):
    Patient._meta.get_field("real_name").clean(whisper() * 100, patient)


def save_what_is_not_unicode(patient, _monkeypatch):
    patient.real_name = whisper() + "\ud800"
    patient.save()


def save_without_a_key(patient, monkeypatch):
    patient.real_name = whisper()
    keyring.clear()
    monkeypatch.setattr("hospital.crypto.data_keys._newest", unreachable)
    patient.save()


def create_without_a_key(_patient, monkeypatch):
    keyring.clear()
    monkeypatch.setattr("hospital.crypto.data_keys._newest", unreachable)
    account = WechatAccount(id=uuid7(), patient_id=uuid7(), appid="wx1", created_at=timezone.now())
    account.openid = whisper()
    account.save()


def save_for_nobody(_patient, _monkeypatch):
    account = WechatAccount(id=uuid7(), appid="wx1", created_at=timezone.now())
    account.openid = whisper()
    account.save()


def update_with_text(patient, _monkeypatch):
    patient.real_name = whisper()
    patient.save_base(raw=True)


def pickle_text(patient, _monkeypatch):
    patient.real_name = whisper()
    patient.__dict__["real_name"].__reduce__()


def read_what_was_tampered_with(patient, _monkeypatch):
    store(patient, stored(patient)[:-1] + b"x")
    _ = again(patient).real_name


def clone_without_a_key(patient, monkeypatch):
    clone = again(patient)
    clone.pk = uuid7()
    monkeypatch.setattr("hospital.crypto.data_keys._newest", unreachable)
    clone.save(force_insert=True)


def seal_elsewhere(_patient, monkeypatch):
    keyring.clear()
    monkeypatch.setattr("hospital.crypto.data_keys._newest", unreachable)
    seal_text(whisper(), context="attack", row=SYSTEM_SUBJECT)


def update_a_queryset(_patient, _monkeypatch):
    Patient.objects.update(real_name=whisper())


def find_without_a_key(_patient, monkeypatch):
    keyring.clear()
    monkeypatch.setattr("hospital.crypto.index_keys.index_keys", unreachable)
    monkeypatch.setattr("hospital.crypto.indexes.index_keys", unreachable)
    Patient.by_document.matching("resident", whisper())


def find_what_is_not_unicode(_patient, _monkeypatch):
    Patient.by_document.matching("resident", whisper() + "\ud800")


def put_text_in_an_index(patient, _monkeypatch):
    Patient.objects.filter(pk=patient.pk).update(document_index=whisper())


def look_for_text_in_an_index(_patient, _monkeypatch):
    Patient.objects.filter(document_index=whisper()).exists()


# They go through functions of Django's before ours can refuse them.
BY_WAY_OF_DJANGO = {
    update_with_text,
    update_a_queryset,
    put_text_in_an_index,
    look_for_text_in_an_index,
}


@pytest.mark.parametrize(
    "act",
    [
        assign_bytes,
        assign_another_type,
        save_too_long,
        clean_too_long,
        clean_too_long_alone,
        save_what_is_not_unicode,
        save_without_a_key,
        create_without_a_key,
        save_for_nobody,
        update_with_text,
        pickle_text,
        read_what_was_tampered_with,
        clone_without_a_key,
        seal_elsewhere,
        update_a_queryset,
        find_without_a_key,
        find_what_is_not_unicode,
        put_text_in_an_index,
        look_for_text_in_an_index,
    ],
    ids=lambda act: act.__name__,
)
def test_no_debug_page_shows_it(patient, act, settings, monkeypatch):
    settings.DEBUG = True
    patient = again(patient)

    try:
        act(patient, monkeypatch)
    except Exception:  # noqa: BLE001 (whichever)
        reporter = ExceptionReporter(RequestFactory().get("/"), *sys.exc_info())
        kind, error, _ = sys.exc_info()
    frames = reporter.get_traceback_frames()
    ours = [frame for frame in frames if frame["filename"].startswith(CRYPTO)]

    assert ours or act is clean_too_long  # Django sums up what cleaning found
    assert NAME not in repr([frame["vars"] for frame in ours])
    if act not in BY_WAY_OF_DJANGO:
        assert NAME not in reporter.get_traceback_text() + reporter.get_traceback_html()
    assert NAME not in f"{error!r} {error} {error.__context__!r} {error.__cause__!r} {kind}"


# Ways out of memory.


def test_what_shows_a_sealed_value_shows_a_mask(patient, caplog):
    (name,) = Patient.objects.values_list("real_name", flat=True)
    logging.getLogger("attack").warning("%s %r", name, name)
    compare = unittest.TestCase().assertEqual
    page = Engine().from_string("{{ name }} {{ row.real_name }}")
    rendered = page.render(Context({"name": name, "row": {"real_name": name}}))

    assert caplog.messages == [f"{MASK} {MASK}"]
    assert rendered.replace("&lt;", "<").replace("&gt;", ">") == f"{MASK} {MASK}"
    assert f"{name}{name!s}{name!r}" == MASK * 3
    assert "%s" % name == MASK  # noqa: UP031
    with pytest.raises(TypeError) as caught:
        json.dumps({"name": name})
    assert NAME not in str(caught.value)
    with pytest.raises(AssertionError) as differs:
        compare(name, placed(b"", "patient.real_name", None, None))
    assert str(differs.value) == f"{MASK} != {MASK}"
    with pytest.raises(AssertionError) as differ:
        compare(vars(again(patient)), {})
    assert NAME not in str(differ.value)


def test_forms_and_serializers_show_a_mask(patient):
    class Serializer(rest.ModelSerializer):
        class Meta:
            model = Patient
            fields = "__all__"

    class PatientForm(forms.ModelForm):
        class Meta:
            model = Patient
            fields = "__all__"  # noqa: DJ007 (all that it would take)

    shown = Serializer(patient).data
    incoming = Serializer(patient, data={"real_name": "x", "document_type": 1})
    assert incoming.is_valid()

    assert shown["real_name"] == MASK
    assert "real_name" not in incoming.validated_data
    assert "real_name" not in PatientForm(instance=patient).fields
    assert NAME not in PatientForm(instance=patient).as_p() + repr(model_to_dict(patient))


@pytest.mark.parametrize("form", ["json", "xml", "jsonl"])
def test_a_dump_shows_a_mask_and_does_not_load(patient, form):
    dumped = serializers.serialize(form, Patient.objects.all())

    assert NAME not in dumped
    assert DOCUMENT not in dumped
    with pytest.raises((DeserializationError, ValidationError)) as caught:
        list(serializers.deserialize(form, dumped))
    assert NAME not in str(caught.value)


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_fixture_written_by_hand_is_not_loaded_as_plaintext(patient, form):
    dumped = serializers.serialize(form, Patient.objects.all()).replace(MASK, NAME)
    dumped = dumped.replace("<sealed patient.document_number>", DOCUMENT)
    before = columns(patient)

    with pytest.raises(FieldError) as caught, transaction.atomic():
        for loaded in serializers.deserialize(form, io.StringIO(dumped)):
            loaded.save()

    assert NAME not in str(caught.value)
    assert columns(patient) == before


def test_raw_queries_carry_no_text(patient):
    (name,) = Patient.objects.values_list("real_name", flat=True)
    (read,) = Patient.objects.raw("SELECT * FROM patients_patient")
    find = "SELECT * FROM patients_patient WHERE real_name = %s"

    assert read.real_name == NAME
    with pytest.raises((Error, TypeError)) as caught:
        list(Patient.objects.raw(find, [name]))
    assert NAME not in str(caught.value)


def test_nor_does_a_cursor(patient):
    (name,) = Patient.objects.values_list("real_name", flat=True)

    with pytest.raises((Error, TypeError)) as caught, connection.cursor() as cursor:
        cursor.execute("UPDATE patients_patient SET number = %s", [name])
    assert NAME not in str(caught.value)


def test_no_statement_carries_the_text(patient):

    with CaptureQueriesContext(connection) as queries:
        one = enrolled("李" + NAME, "T1")
        one.real_name = NAME
        one.save()
        Patient.objects.bulk_update([one], ["real_name"])
        Patient.objects.with_document(1, DOCUMENT).first()
        Patient.objects.named(NAME, born=date(1990, 3, 7)).first()

    assert len(queries) > 5
    statements = " ".join(query["sql"] for query in queries)
    assert NAME not in statements
    assert DOCUMENT not in statements
    assert NAME.encode().hex() not in statements.lower()


def test_a_model_of_a_migration_seals_and_opens(patient):
    history = MigrationLoader(None).project_state().apps.get_model("patients", "Patient")

    old = history.objects.get(pk=patient.pk)
    assert type(old).__module__ == "__fake__"
    assert old.real_name == NAME
    old.real_name = "李四"
    old.save(update_fields=["real_name"])
    made = history.objects.create(
        number="P1",
        real_name="王五",
        document_type=1,
        document_number="T",
        created_at=timezone.now(),
    )

    assert again(patient).real_name == "李四"
    assert Patient.objects.get(pk=made.pk).real_name == "王五"
    assert len(stored(made)) == 68
    with pytest.raises(FieldError):
        list(history.objects.order_by("real_name"))
    assert isinstance(history._meta.get_field("real_name"), SealedField)
    assert type(history._meta.get_field("document_index")) is models.CharField
