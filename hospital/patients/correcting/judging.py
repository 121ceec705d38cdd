"""What speaks against what was typed, by itself: nothing that is on record is told by it."""

from datetime import date

from hospital.errors import Refusal
from hospital.patients import plausible
from hospital.patients.documents import WITHOUT_NUMBER
from hospital.patients.enrolment import Person
from hospital.patients.models import Identification, Patient
from hospital.patients.registering import SUITABLE, Implausible, Unsuited, judge

Evidence = Identification.Evidence


class NoReason(Refusal):
    code = "correction_no_reason"
    message = "请填写理由"


class TellsWho(Refusal):
    """What is written there is read by many, and stays."""

    code = "reason_tells_who"
    message = "理由中请勿写姓名或证件号码"


class Numbered(Refusal):
    code = "correction_numbered"
    message = "已有证件号码的档案不能改为没有号码的类型"


def demand_sound(
    patient: Patient, person: Person, *, evidence: Evidence, reason: str, today: date
) -> None:
    """Judge what was typed, and nothing that is on record but hidden."""
    if not reason.strip():
        raise NoReason
    if plausible.tells_who(reason, person.real_name):
        raise TellsWho
    if any(found.stops for found in judge(person, today=today)):
        raise Implausible
    if evidence not in SUITABLE[person.document_type]:
        raise Unsuited
    if person.document_type in WITHOUT_NUMBER and patient.document_type not in WITHOUT_NUMBER:
        raise Numbered
