"""An identity that was verified becomes a patient, once, however often it arrives."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

from django.db import IntegrityError, transaction
from stdnum import luhn

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.normalising import person_name
from hospital.crypto.sealing import Unopenable
from hospital.errors import Refusal
from hospital.patients import documents, likenesses
from hospital.patients.attendance import attend
from hospital.patients.models import (
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
    patient, is_new = known(person).first(), False
    if patient is None:
        likenesses.wait_turn(person.real_name, born=person.born)
        patient, is_new = create(person, at=at)
    demand_same_name(patient, person)
    for appid, openid in accounts.items():
        _link(patient, appid, openid, at=at)
    attend(patient, campus=campus, at=at)
    Identification.objects.create(patient=patient, method=Identification.Method.WECHAT_FACE, at=at)
    if is_new:
        likenesses.find(patient, by=SYSTEM, at=at)
    return patient, is_new


def known(person: Person) -> PatientQuerySet:
    """Return who has this document; nobody where there is none."""
    if not person.document_number:
        return Patient.objects.none()
    return Patient.objects.with_document(person.document_type, person.document_number)


def demand_same_name(patient: Patient, person: Person) -> None:
    """:raises NameDiffers: the document is on record under another name"""
    if person_name(patient.real_name or "") != person_name(person.real_name):
        raise NameDiffers


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
        number = _number()
        try:
            with transaction.atomic():
                patient = Patient.objects.create(
                    number=number,
                    real_name=person.real_name or documents.temporary_name(number),
                    document_type=person.document_type,
                    document_number=person.document_number or None,
                    birth_date=stated_birth_date(person),
                    created_at=at,
                )
        except IntegrityError:
            # Either somebody enrolled this document first, or the number is taken.
            if found := known(person).first():
                return found, False
        else:
            return patient, True
    raise IntegrityError("no free patient number was found")


def stated_birth_date(person: Person) -> str | None:
    """Return what is kept of a birth date: none where the number says it already."""
    if documents.birth_date(person.document_type, person.document_number):
        return None
    return person.birth_date.isoformat() if person.birth_date else None


def _number() -> str:
    """Return a patient number that tells nothing: random digits and a Luhn check digit."""
    digits = "".join(secrets.choice("0123456789") for _ in range(DIGITS))
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
