"""Who agrees for a child under fourteen (个人信息保护法 第三十一条)."""

from datetime import datetime
from typing import Final

from django.db import transaction
from django.utils import timezone

from hospital.accounts.models import Staff
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.sealing import Unopenable
from hospital.errors import Refusal
from hospital.patients import documents, enrolment, registering
from hospital.patients.enrolment import Person
from hospital.patients.models import Guardian, Identification, Patient
from hospital.patients.restriction import demand_unrestricted

OF_AGE: Final = 18  # years: who is younger guards nobody (民法典 第十七条)
Evidence = Identification.Evidence
# How it was shown that they are the child's guardian: somebody saw papers.
EVIDENCE: Final = frozenset({Evidence.ORIGINAL, Evidence.COPY, Evidence.GUARDIAN})


class NotAChild(Refusal):
    code = "guardian_needless"
    message = "患者已满十四周岁，或没有登记出生日期，不需要监护人同意"


class NotOfAge(Refusal):
    code = "guardian_minor"
    message = "监护人须年满十八周岁，请核对证件"


class OwnGuardian(Refusal):
    code = "guardian_self"
    message = "监护人的证件与患者的相同，请核对"


class Unshown(Refusal):
    code = "guardian_unshown"
    message = "监护关系须核对证件或关系证明"


def is_child(patient: Patient, *, at: datetime) -> bool:
    """Whether a guardian has to agree for them, on the day it is at the hospital."""
    try:
        born = patient.born
    except (SubjectForgotten, Unopenable):  # nobody is left to agree for
        return False
    if born is None:
        return False
    return documents.age(born, today=timezone.localdate(at)) < documents.ADULT_CONSENT_AGE


@transaction.atomic
def agree(
    child: Patient,
    guardian: Person,
    *,
    relation: Guardian.Relation,
    evidence: Evidence,
    by: Staff,
    at: datetime,
) -> Guardian:
    """
    Put on record who a child's guardian is; what they agreed to, and the event, are the caller's.

    :raises NotAChild, NotOfAge, OwnGuardian, Unshown:
    :raises Restricted: nothing is added to this record
    :raises Implausible: the guardian's name or number cannot be right
    """
    today = timezone.localdate(at)
    demand_unrestricted(child)
    if not is_child(child, at=at):
        raise NotAChild
    if evidence not in EVIDENCE:
        raise Unshown
    if any(one.stops for one in registering.judge(guardian, today=today)):
        raise registering.Implausible
    if guardian.born is None or documents.age(guardian.born, today=today) < OF_AGE:
        raise NotOfAge
    if enrolment.known(guardian).filter(pk=child.pk).exists():
        raise OwnGuardian
    return Guardian.objects.create(
        patient=child,
        relation=relation,
        real_name=guardian.real_name,
        document_type=guardian.document_type,
        document_number=guardian.document_number,
        evidence=evidence,
        by=by.pk,
        at=at,
    )
