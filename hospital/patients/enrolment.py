"""An identity that was verified becomes a patient, once, however often it arrives."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, transaction
from stdnum import luhn

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto.normalising import person_name
from hospital.errors import Refusal
from hospital.patients.models import (
    Identification,
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


@dataclass(frozen=True)
class Person:
    """Who somebody was verified to be."""

    real_name: str = field(repr=False)
    document_type: int
    document_number: str = field(repr=False)


@transaction.atomic
def enrol(person: Person, *, accounts: dict[str, str], at: datetime) -> tuple[Patient, bool]:
    """
    Return the patient `person` is, and whether they are new.

    Two terminals with the same person in the same second get one patient: the unique
    index on the document decides, and the second reads what the first wrote.

    :param accounts: appid → openid, as WeChat's verified answer stated them
    :raises NameDiffers: the document belongs to a patient of another name
    """
    patient, is_new = _known(person).first(), False
    if patient is None:
        patient, is_new = _create(person, at=at)
    if person_name(patient.real_name or "") != person_name(person.real_name):
        raise NameDiffers
    for appid, openid in accounts.items():
        _link(patient, appid, openid, at=at)
    Identification.objects.create(patient=patient, method=Identification.Method.WECHAT_FACE, at=at)
    return patient, is_new


def _known(person: Person) -> PatientQuerySet:
    return Patient.objects.with_document(person.document_type, person.document_number)


def _create(person: Person, *, at: datetime) -> tuple[Patient, bool]:
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                patient = Patient.objects.create(
                    number=_number(),
                    real_name=person.real_name,
                    document_type=person.document_type,
                    document_number=person.document_number,
                    created_at=at,
                )
        except IntegrityError:
            # Either somebody enrolled this document first, or the number is taken.
            if found := _known(person).first():
                return found, False
        else:
            return patient, True
    raise IntegrityError("no free patient number was found")


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
    account.delete()
    # One of the union ids of who had it went with it, and nobody said which; all are learned
    # again from the openids that stay.
    WechatUnion.objects.filter(patient=account.patient_id).delete()
    WechatAccount.objects.link(patient, appid=appid, openid=openid, at=at)
