"""An identity that was verified becomes a patient, once, however often it arrives."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db import IntegrityError, transaction
from stdnum import luhn

from hospital import statements
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto import keyring
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.normalising import person_name
from hospital.crypto.sealing import Unopenable
from hospital.errors import Refusal
from hospital.patients import documents, handing_off, likenesses
from hospital.patients.attendance import attend, recognised
from hospital.patients.models import (
    Attendance,
    Identification,
    Likeness,
    Patient,
    PatientQuerySet,
    WechatAccount,
    WechatUnion,
)

DIGITS = 9  # of a patient number, before its check digit
TRIES = 8


class NameDiffers(Refusal):
    """The document is on record under another name: a person must look at it."""

    code = "name_differs"
    message = "该证件已建档，但姓名不一致，请到人工窗口核对"


class Unreadable(Refusal):
    """The record was erased, or somebody wrote into it behind the system's back."""

    code = "record_unreadable"
    message = "该档案已依法删除或无法读取，请联系个保负责人"


@dataclass(frozen=True)
class Person:
    """
    Who somebody was verified to be.

    :param real_name: "" for who cannot tell, and has no document
    :param document_number: "" where there is none yet
    :param birth_date: of documents whose number does not say it
    """

    real_name: str = field(repr=False)
    document_type: int
    document_number: str = field(repr=False)
    birth_date: date | None = field(default=None, repr=False)

    @property
    def born(self) -> date | None:
        return documents.birth_date(self.document_type, self.document_number) or self.birth_date


@transaction.atomic
def enrol(
    person: Person, *, accounts: dict[str, str], campus: str, at: datetime
) -> tuple[Patient, bool]:
    """
    Return the patient `person` is, and whether they are new.

    Two terminals with the same person in the same second get one patient: the unique
    index on the document decides, and the second reads what the first wrote.

    :param accounts: appid → openid, as WeChat's verified answer stated them
    :param campus: where they stand, a code of `settings.CAMPUSES`
    :raises NameDiffers: the document belongs to a patient of another name
    """
    return enrol_within(person, accounts=accounts, campus=campus, at=at)


def enrol_within(
    person: Person, *, accounts: dict[str, str], campus: str, at: datetime
) -> tuple[Patient, bool]:
    """
    Do as `enrol`, in a transaction of the caller's that is rolled back with whatever is raised.

    :raises NameDiffers:
    """
    patient, is_new = _with_document(person), False
    if patient is None:
        likenesses.wait_turn(person.real_name, born=person.born)
        if patient := _welcome(person, accounts=accounts, campus=campus, at=at):
            return patient, True
        patient, is_new = create(person, at=at)
    demand_same_name(patient, person)
    for appid, openid in accounts.items():
        _link(patient, appid, openid, at=at)
    recognised(patient, at=at)
    attend(patient, campus=campus, at=at)
    _identified(patient, at=at).save(force_insert=True)
    if is_new:
        likenesses.find(patient, by=SYSTEM, at=at)
    return patient, is_new


def _welcome(
    person: Person, *, accounts: dict[str, str], campus: str, at: datetime
) -> Patient | None:
    """
    Return a new patient with all that is theirs, written at once as for nearly everybody.

    None, and nothing is written, if any of it is somebody's already: their document, made by
    whoever was faster, the number that was drawn, or a WeChat account that passes to them.
    """
    patient, has_likeness = _made(person, at=at), _is_like_somebody(person)
    theirs = [
        WechatAccount(patient=patient, appid=appid, openid=openid, created_at=at, last_used_at=at)
        for appid, openid in accounts.items()
    ]
    attended = Attendance(patient=patient, campus=campus, since=at)
    try:
        with transaction.atomic():
            keyring.begin(patient.pk)
            statements.insert(patient, *theirs, attended, _identified(patient, at=at))
    except IntegrityError:
        return None
    handing_off.owe(patient, at=at)
    if has_likeness:
        likenesses.find(patient, by=SYSTEM, at=at)
    return patient


def _with_document(person: Person) -> Patient | None:
    """Return who has this document, which whoever comes by WeChat has; see `known`."""
    parts = (
        documents.family(person.document_type),
        documents.canonical_number(person.document_type, person.document_number),
    )
    found = Patient.by_document.first(*parts)
    assert found is None or isinstance(found, Patient)  # noqa: S101 (its index)
    return found


def _is_like_somebody(person: Person) -> bool:
    index, born = Patient.by_name_and_birth, person.born
    return born is not None and index.first(person.real_name, born.isoformat()) is not None


def known(person: Person) -> PatientQuerySet:
    """Return who has this document; nobody where there is none."""
    if not person.document_number:
        return Patient.objects.none()
    return Patient.objects.with_document(person.document_type, person.document_number)


def demand_same_name(patient: Patient, person: Person) -> None:
    """:raises NameDiffers: the document is on record under another name"""
    if patient.thinned_at is not None:
        is_same = _has_name_index_of(patient, person)
    else:
        is_same = person_name(patient.real_name or "") == person_name(person.real_name)
    if not is_same:
        raise NameDiffers


def _has_name_index_of(patient: Patient, person: Person) -> bool:
    """Compare where only a digest of the name is left; where not even that, what a mask shows."""
    index = Patient.by_name_and_birth
    if person.born and any(getattr(patient, column) for column in index.columns):
        named = Patient.objects.named(person.real_name, born=person.born)
        return named.filter(pk=patient.pk).exists()
    return person_name(patient.real_name or "") == person_name(
        documents.masked_name(person.real_name)
    )


@contextmanager
def legible() -> Iterator[None]:
    """:raises Unreadable: a record that is opened inside cannot be"""
    try:
        yield
    except (SubjectForgotten, Unopenable):
        raise Unreadable from None


def create(person: Person, *, at: datetime) -> tuple[Patient, bool]:
    """
    Return a new patient; or who has the document already, if somebody was faster.

    What is to be said of it in the trail is the caller's to say.
    """
    for _ in range(TRIES):
        patient = _made(person, at=at)
        try:
            with transaction.atomic():
                keyring.begin(patient.pk)
                patient.save(force_insert=True)
        except IntegrityError:
            # Either somebody enrolled this document first, or the number is taken.
            if found := known(person).first():
                return found, False
        else:
            handing_off.owe(patient, at=at)
            return patient, True
    raise IntegrityError("no free patient number was found")


def _made(person: Person, *, at: datetime) -> Patient:
    number = _number()
    return Patient(
        number=number,
        real_name=person.real_name or documents.temporary_name(number),
        document_type=person.document_type,
        document_number=person.document_number or None,
        birth_date=stated_birth_date(person),
        created_at=at,
        last_visit_at=at,
    )


def _identified(patient: Patient, *, at: datetime) -> Identification:
    return Identification(patient=patient, method=Identification.Method.WECHAT_FACE, at=at)


def stated_birth_date(person: Person) -> str | None:
    """Return what is kept of a birth date: none where the number says it already."""
    if documents.birth_date(person.document_type, person.document_number):
        return None
    return person.birth_date.isoformat() if person.birth_date else None


def _number() -> str:
    """Return a patient number that tells nothing: random digits and a Luhn check digit."""
    digits = f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"
    return f"P{digits}{luhn.calc_check_digit(digits)}"


def _link(patient: Patient, appid: str, openid: str, *, at: datetime) -> None:
    account = WechatAccount.objects.link(patient, appid=appid, openid=openid, at=at)
    if account.patient_id == patient.pk:
        return
    # A WeChat account may pass to another person (a shared phone): the newest proof wins.
    record(Action.WECHAT_ACCOUNT_MOVE, by=SYSTEM, on=patient, at=at, before=account.patient_id)
    likenesses.note(patient, account.patient, kind=Likeness.Kind.ACCOUNT, by=SYSTEM, at=at)
    account.delete()
    # One of the union ids of who had it went with it, and nobody said which; all are learned
    # again from the openids that stay.
    WechatUnion.objects.filter(patient=account.patient_id).delete()
    WechatAccount.objects.link(patient, appid=appid, openid=openid, at=at)
