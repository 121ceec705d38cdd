"""Statements put together by hand do what Django's do."""

from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from hospital import statements
from hospital.audit.models import Event
from hospital.crypto import epochs, keyring
from hospital.crypto.models import DataKey, KeyEpoch
from hospital.patients.models import Attendance, Identification, Patient

NOW = timezone.now()


def patient(number="P0000000001"):
    return Patient(
        number=number,
        real_name="张三",
        document_type=1,
        document_number="11010119900307001X",
        created_at=NOW,
    )


def test_what_is_inserted_is_what_save_would_have_written(db):
    made = patient()
    keyring.begin(made.pk)
    statements.insert(made, Attendance(patient=made, campus="main", since=NOW))

    kept = Patient.objects.get()
    again = Patient.objects.with_document(1, "11010119900307001X").get()
    assert (kept.real_name, kept.created_at, again.pk) == ("张三", NOW, made.pk)
    assert kept.attendances.get().since == NOW
    assert not made._state.adding


@pytest.mark.postgresql
def test_many_rows_take_one_round_trip(db):
    patient("P0000000009").save()  # with the keys of the indexes
    Patient.objects.all().delete()
    made = patient()
    keyring.begin(made.pk)
    seen = Identification(patient=made, method="wechat_face", at=NOW)

    with CaptureQueriesContext(connection) as captured:
        statements.insert(made, Attendance(patient=made, campus="main", since=NOW), seen)

    assert len(captured.captured_queries) == 1


def test_of_two_with_one_document_the_second_is_refused_and_leaves_nothing(db):
    first, second = patient(), patient("P0000000002")
    for one in (first, second):
        keyring.begin(one.pk)
    statements.insert(first)

    with pytest.raises(IntegrityError), transaction.atomic():
        statements.insert(second, Attendance(patient=second, campus="main", since=NOW))

    assert Patient.objects.get() == first
    assert not Attendance.objects.exists()


def test_a_change_is_made_where_all_of_it_is_so(db):
    made = patient()
    made.save()
    where = {"id": made.pk}

    def change(among):
        values = {"last_visit_at": NOW, "restricted_at": None}
        return statements.change(Patient, values, where=where, among=[("number", among)])

    assert change(["P9", "P8"]) == 0
    assert change(["P9", made.number]) == 1
    assert Patient.objects.get().last_visit_at == NOW


def test_a_key_begun_twice_is_refused(db):
    made = patient()
    keyring.begin(made.pk)

    with pytest.raises(IntegrityError), transaction.atomic():
        keyring.begin(made.pk)


def test_a_key_begun_opens_in_another_process(db):
    made = patient()
    keyring.begin(made.pk)
    made.save(force_insert=True)

    keyring.clear()

    assert Patient.objects.get().real_name == "张三"


def test_a_key_whose_transaction_is_undone_is_forgotten(db):
    made = patient()
    with pytest.raises(RuntimeError), transaction.atomic():
        keyring.begin(made.pk)
        raise RuntimeError

    assert keyring.remembered(made.pk, 1) is None


def test_a_key_is_begun_under_the_epoch_that_is_active_now(db):
    first = patient()
    keyring.begin(first.pk)
    old = epochs.active()
    KeyEpoch.objects.update(state=KeyEpoch.State.DECRYPT_ONLY)
    epochs.make(old.number + 1, epochs.configured_suite()).save()
    assert epochs.lately_active() == old  # as any process remembers it that did not rotate

    second = patient("P0000000002")
    keyring.begin(second.pk)

    assert DataKey.objects.get(subject=second.pk).epoch.epoch == old.number + 1
    assert epochs.lately_active().number == old.number + 1


@pytest.mark.parametrize("number", ["P0000000001", "P9"])
def test_a_change_and_the_row_about_it_are_both_made_or_neither(db, number):
    made = patient()
    made.save()
    change = statements.changing(Patient, {"last_visit_at": NOW}, where={"number": number})

    is_made = change.make_and_insert(Attendance(patient=made, campus="main", since=NOW))

    assert is_made == (number == made.number)
    assert Attendance.objects.exists() == is_made
    assert Patient.objects.filter(last_visit_at=NOW).exists() == is_made


def test_the_last_of_several_learns_the_number_it_was_given(db):
    events = [Event(uid=uuid4(), payload="{}", mac=b"", mac_key=1) for _ in range(2)]

    statements.insert(*events)

    assert Event.objects.get(pk=events[1].pk) == Event.objects.get(uid=events[1].uid)


@pytest.mark.postgresql
def test_what_comes_often_is_planned_once(db):
    before = planned()  # by the tests this connection has served already

    for _ in range(5):
        statements.change(Patient, {"number": "P0000000001"}, where={"number": "P9"})

    assert len(planned() - before) == 1


def planned():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements WHERE statement LIKE 'UPDATE%'")
        return set(cursor.fetchall())


@pytest.mark.postgresql
def test_a_query_of_djangos_own_has_as_many_values_as_it_needs(db):
    assert not Patient.objects.filter(number__in=[f"P{number}" for number in range(70_000)])
