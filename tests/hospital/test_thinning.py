"""What the hospital's own system has acknowledged leaves this one; the same person stays found."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from hospital.crypto import keyring
from hospital.crypto.rotation import errands
from hospital.patients import correcting, enrolment, finding, identity, revealing, viewing
from hospital.patients.asked import ByDocument
from hospital.patients.documents import DocumentType
from hospital.patients.models import HandOff, Identification, Patient
from hospital.patients.restriction import Restricted
from hospital.privacy import restricting, sweeping, thinning
from tests.conftest import recorded
from tests.hospital.aged import HERE

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
DAYS = timedelta(days=1)
DOCUMENT = "11010119900307221X"
PERSON = enrolment.Person("王小明", DocumentType.RESIDENT, DOCUMENT)


@pytest.fixture(autouse=True, params=[HERE])
def database(db, settings):
    settings.KEY_CACHE_SECONDS = settings.IN_HAND_SECONDS = 0


def enrol(person=PERSON, at=NOW - 60 * DAYS):
    return enrolment.enrol(person, accounts={}, campus="main", at=at)[0]


def acknowledged(patient, at, state=HandOff.State.DONE):
    return HandOff.objects.create(
        patient=patient, state=state, created_at=at, acknowledged_at=at, his_patient_id="H1"
    )


@pytest.fixture
def thinned():
    patient = enrol()
    acknowledged(patient, NOW - 40 * DAYS)
    thinning.thin(patient, at=NOW)
    return Patient.objects.get(pk=patient.pk)


def sweep(at=NOW):
    return sweeping.sweep(clock=lambda: at)


def test_thirty_days_after_the_hospitals_system_said_so_and_no_moment_before():
    patient = enrol()
    acknowledged(patient, NOW - 30 * DAYS)
    sweep()
    assert Patient.objects.get().thinned_at is None

    with recorded():
        sweep(NOW + timedelta(microseconds=1))

    patient = Patient.objects.get()
    assert patient.thinned_at == NOW + timedelta(microseconds=1)
    assert (patient.real_name, patient.document_number, patient.birth_date) == ("王*明", None, None)


@pytest.mark.parametrize("state", [HandOff.State.WAITING, HandOff.State.DEAD])
def test_what_it_has_not_heard_of_yet_stays(state):
    patient = enrol()
    acknowledged(patient, NOW - 60 * DAYS)
    acknowledged(patient, NOW - 50 * DAYS, state=state)

    sweep()

    assert Patient.objects.get().real_name == "王小明"
    with pytest.raises(thinning.NotHandedOff):
        thinning.thin(patient, at=NOW)


def test_a_correction_it_was_told_of_lately_begins_the_days_anew():
    patient = enrol()
    acknowledged(patient, NOW - 60 * DAYS)
    acknowledged(patient, NOW - 1 * DAYS)

    sweep()

    assert Patient.objects.get().thinned_at is None


def test_the_same_document_finds_the_same_record(thinned):
    again = enrol(at=NOW + DAYS)

    assert again.pk == thinned.pk
    assert Patient.objects.count() == 1
    assert Patient.objects.get().document_number is None  # nor is it stored again


def test_another_name_on_that_document_is_still_another(thinned):
    impostor = enrolment.Person("王大明", DocumentType.RESIDENT, DOCUMENT)

    with pytest.raises(enrolment.NameDiffers):  # although a mask shows both alike
        enrol(impostor, at=NOW + DAYS)


def test_it_is_found_at_the_desk_and_shown_by_its_mask(thinned, chen):
    found = finding.find(ByDocument(DOCUMENT, ""), by=chen, at=NOW)

    assert [one.pk for one in found.patients] == [thinned.pk]
    shown = viewing.masked(thinned)
    assert (shown.name, shown.document) == ("王*明", "已移交 HIS")


def test_there_is_nothing_to_reveal(thinned, chen):
    for field in revealing.Field:
        with pytest.raises(revealing.Thinned):
            revealing.reveal(
                thinned.pk, field, revealing.Purpose.IDENTITY, by=chen, is_fresh=True, at=NOW
            )


def test_no_column_holds_the_number_or_the_whole_name(thinned):
    columns = Patient.objects.filter(pk=thinned.pk).values_list("document_number", "birth_date")
    assert list(columns) == [(None, None)]


def test_saving_it_for_any_other_reason_keeps_it_findable(thinned):
    thinned.save()

    assert Patient.objects.with_document(DocumentType.RESIDENT, DOCUMENT).get() == thinned


def test_what_the_trail_says_of_who_was_verified_is_not_contradicted(thinned):
    assert identity.agrees(thinned) is None
    told = StringIO()
    call_command("sealcheck", stdout=told)
    assert "不符 0 处" in told.getvalue()


def test_a_correction_makes_it_whole_again(thinned, chen, sun):
    person = enrolment.Person("王晓明", DocumentType.RESIDENT, DOCUMENT)
    asked = correcting.ask(
        thinned,
        person,
        evidence=Identification.Evidence.ORIGINAL,
        reason="同音字",
        by=chen,
        at=NOW,
        today=NOW.date(),
    )
    with recorded():
        correcting.approve(asked, by=sun, at=NOW)

    patient = Patient.objects.get()
    assert (patient.real_name, patient.document_number, patient.thinned_at) == (
        "王晓明",
        DOCUMENT,
        None,
    )
    assert identity.agrees(patient) is True
    assert enrol(person, at=NOW + DAYS).pk == patient.pk


@pytest.mark.django_db(transaction=connection.vendor == "postgresql")
def test_a_new_index_key_leaves_nothing_under_the_old_one(thinned):
    other = enrol(enrolment.Person("李四", DocumentType.RESIDENT, "110101199003078899"))

    (errand,) = errands.new_index_keys("patient.document")
    assert errand.forgets == 1
    with pytest.raises(CommandError, match="1 份档案已移交 HIS 并精简"):
        call_command("rotatekeys", "--index", "patient.document", stdout=StringIO())
    assert Patient.objects.with_document(DocumentType.RESIDENT, DOCUMENT).get() == thinned

    call_command("rotatekeys", "--index", "patient.document", "--forget-thinned", stdout=StringIO())
    keyring.clear()

    thinned.refresh_from_db()
    assert (thinned.document_index, thinned.document_index_b) == (None, None)
    found = Patient.objects.with_document(DocumentType.RESIDENT, "110101199003078899")
    assert found.get() == other
    told = StringIO()
    call_command("sealcheck", stdout=told)
    assert "不符 0 处" in told.getvalue()


# Restricted.


def test_whoever_is_restricted_is_kept_and_nothing_else(chen, sun, gu):
    patient = enrol()
    acknowledged(patient, NOW - 60 * DAYS)
    with recorded():
        restricting.restrict(patient, code="request", by=gu, at=NOW)

    shown = viewing.masked(Patient.objects.get())
    assert (shown.name, shown.document, shown.is_restricted) == ("限制处理", "限制处理", True)
    with pytest.raises(Restricted):
        revealing.reveal(
            patient.pk,
            revealing.Field.REAL_NAME,
            revealing.Purpose.IDENTITY,
            by=chen,
            is_fresh=True,
            at=NOW,
        )
    with pytest.raises(Restricted):
        correcting.ask(
            patient,
            PERSON,
            evidence=Identification.Evidence.ORIGINAL,
            reason="同音字",
            by=chen,
            at=NOW,
            today=NOW.date(),
        )
    with pytest.raises(Restricted):
        thinning.thin(patient, at=NOW)
    sweep()
    assert Patient.objects.get().thinned_at is None

    with recorded():
        restricting.release(patient, code="settled", by=gu, at=NOW)
    assert viewing.masked(Patient.objects.get()).name == "王*明"


def test_it_is_restricted_once_and_released_once(gu):
    patient = enrol()
    with pytest.raises(restricting.NotRestricted):
        restricting.release(patient, code="settled", by=gu, at=NOW)
    restricting.restrict(patient, code="dispute", by=gu, at=NOW)
    with pytest.raises(restricting.RestrictedAlready):
        restricting.restrict(patient, code="dispute", by=gu, at=NOW)
