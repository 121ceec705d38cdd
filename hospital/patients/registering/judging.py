"""What speaks against an entry, by itself: nothing that is on record is asked."""

from datetime import date

from hospital.accounts.models import Staff
from hospital.errors import Refusal
from hospital.patients import documents, plausible
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.registering.entry import Cause, Entry
from hospital.patients.registering.suitable import SUITABLE


class Implausible(Refusal):
    code = "implausible"
    message = "姓名、证件号码或出生日期有误，请按提示核对"


class Unsuited(Refusal):
    code = "evidence_unsuited"
    message = "这类证件不能用所选的依据"


class GuardianNeeded(Refusal):
    """个人信息保护法 第三十一条."""

    code = "guardian_needed"
    message = "患者不满十四周岁，须监护人在场并同意"


class NoCampus(Refusal):
    code = "no_campus"
    message = "您的账号没有设置院区，请联系安全管理员"


def judge(person: Person, *, today: date) -> list[plausible.Finding]:
    """Return what speaks against these being a person's name, document and birth date."""
    kind = person.document_type
    found = [
        *plausible.judge(kind, person.document_number, today=today),
        *plausible.judge_name(kind, person.real_name),
    ]
    if carried := documents.birth_date(kind, person.document_number):
        if person.birth_date in {None, carried}:
            return found
        return [*found, plausible.Finding("born_differs", "born", "与证件号码中的出生日期不一致")]
    if person.birth_date:
        return [*found, *plausible.judge_birth(person.birth_date, today=today)]
    if kind in documents.CITIZEN or kind == DocumentType.EMERGENCY:
        return found  # the one is wrong in the number; the other's nobody knows
    return [*found, plausible.Finding("born_missing", "born", "请输入出生日期")]


def judge_cause(person: Person, cause: Cause, *, today: date) -> list[plausible.Finding]:
    """Return what speaks against somebody being at the desk for this cause."""
    is_said_newborn = cause == Cause.NEWBORN or person.document_type == DocumentType.NEWBORN
    born = person.born
    if is_said_newborn and born and documents.age(born, today=today) >= 1:
        return [plausible.Finding("not_newborn", "born", "已满一岁，不是新生儿，请核对")]
    return []


def needs_guardian(person: Person, cause: Cause, *, today: date) -> bool:
    """Whether a guardian has to consent; saving a life waits for nobody (第十三条第四项)."""
    if person.document_type == DocumentType.EMERGENCY or cause == Cause.EMERGENCY:
        return False
    born = person.born
    return born is not None and documents.age(born, today=today) < documents.ADULT_CONSENT_AGE


def demand_sound(entry: Entry, *, by: Staff, today: date) -> None:
    """:raises Implausible, Unsuited, GuardianNeeded, NoCampus:"""
    if not by.campus:
        raise NoCampus
    against = [
        *judge(entry.person, today=today),
        *judge_cause(entry.person, entry.cause, today=today),
    ]
    if any(found.stops for found in against):
        raise Implausible
    if entry.evidence not in SUITABLE[entry.person.document_type]:
        raise Unsuited
    if needs_guardian(entry.person, entry.cause, today=today) and not entry.guardian_agrees:
        raise GuardianNeeded
