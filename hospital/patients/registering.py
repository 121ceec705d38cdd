"""
人工建档: who does not, cannot or must not use the face becomes a patient at the desk.

What somebody enters is on record as a registration. Where the policy wants a second look, a
colleague enters the number once more from the original, and only then is there a patient.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from hospital import labels, policy
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.facts import Shown
from hospital.audit.recording import record
from hospital.crypto.normalising import person_name
from hospital.errors import Refusal
from hospital.patients import documents, enrolment, finding, identity, likenesses, plausible
from hospital.patients.attendance import attend
from hospital.patients.documents import WITHOUT_NUMBER, WORDED, DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import Identification, Patient, Registration
from hospital.patients.restriction import demand_unrestricted

Cause = Registration.Cause
Evidence = Identification.Evidence
State = Registration.State

_PAPERS: Final = frozenset({Evidence.ORIGINAL, Evidence.COPY, Evidence.GUARDIAN})
_CARDS: Final = _PAPERS | {Evidence.READER, Evidence.ELECTRONIC}
# Which evidence there can be of which document.
SUITABLE: Final[Mapping[int, frozenset[Evidence]]] = {
    **dict.fromkeys(DocumentType, _PAPERS),
    DocumentType.RESIDENT: _CARDS,
    DocumentType.HMT_RESIDENCE: _CARDS,
    DocumentType.FOREIGN_RESIDENCE: _CARDS,
    DocumentType.PASSPORT: _CARDS,
    DocumentType.HOME_RETURN: _CARDS,
    DocumentType.TAIWAN: _CARDS,
    DocumentType.TEMPORARY: _PAPERS | {Evidence.READER},
    DocumentType.BIRTH_CERTIFICATE: _PAPERS | {Evidence.ELECTRONIC},
    DocumentType.BUSINESS: frozenset(),
    DocumentType.NEWBORN: frozenset({Evidence.GUARDIAN, Evidence.STATED}),
    DocumentType.EMERGENCY: frozenset({Evidence.STATED}),
}
_DROPPED: Final = {"real_name": None, "document_number": None, "birth_date": None}


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


class Known(Refusal):
    """There is nothing to create: `patient` has this document."""

    code = "document_known"
    message = "该证件已有档案，没有新建"

    def __init__(self, patient: Patient) -> None:
        super().__init__()
        self.patient = patient


class Unknown(Refusal):
    code = "document_unknown"
    message = "没有这个证件的档案，请核对后重新提交"


class Alike(Refusal):
    """Somebody of the same name and birth date is on record: `patients`. A person judges."""

    code = "likely_known"
    message = "已有姓名和出生日期相同的患者，请先核对"

    def __init__(self, patients: list[Patient]) -> None:
        super().__init__()
        self.patients = patients


class Used(Refusal):
    code = "token_used"
    message = "这张登记单已提交过，请重新打开登记页"


class NotWaiting(Refusal):
    code = "registration_not_waiting"
    message = "这张登记单已处理过"


class OwnEntry(Refusal):
    code = "registration_own"
    message = "登记人不能复核自己登记的患者，请另一位同事复核"


class DoesNotRepeat(Refusal):
    code = "does_not_repeat"
    message = "与登记的不一致：请对照原件再输入一次；仍不一致请退回"


class NoNote(Refusal):
    code = "no_note"
    message = "请写明退回原因"


class TellsWho(Refusal):
    """What is written there is read by many, and stays."""

    code = "note_tells_who"
    message = "退回原因中请勿写姓名或证件号码"


@dataclass(frozen=True)
class Entry:
    """
    What one submission says.

    :param token: names it: sent twice, it is one
    """

    token: UUID
    person: Person
    cause: Cause
    evidence: Evidence
    guardian_agrees: bool = False


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


def look_up(person: Person, *, by: Staff, at: datetime) -> list[Patient]:
    """
    Return whom this form asks about: who has the document, or else who is alike.

    It is a search, bounded and on record like any other, whatever becomes of the form: call it
    before `enter` and `attend_known`, outside of their transaction.

    :raises NotCleared: `by` is not cleared for patients at all
    :raises TooOften: they searched more often within a minute than a person can
    """
    labels.demand(by, "patients.patient")
    finding.take_turn(by, at)
    found = list(enrolment.known(person)) or list(
        likenesses.alike(person.real_name, born=person.born)
    )
    with transaction.atomic():
        record(
            Action.PATIENT_SEARCH,
            by=by,
            on=None,
            at=at,
            kind="register",
            count=len(found),
            subjects={patient.pk for patient in found},
            shown=[],  # a look of its own, if it comes to one
        )
    return found


@transaction.atomic
def enter(
    entry: Entry, *, by: Staff, at: datetime, today: date, session: UUID | None, anyway: bool
) -> Registration:
    """
    Put on record what was entered; and the patient too, unless a colleague has to look first.

    :param session: the face session it was taken over from; settling it is the caller's
    :param anyway: who is alike was looked at, and is somebody else
    :raises Implausible, Unsuited, GuardianNeeded, NoCampus: nothing has changed
    :raises Known, NameDiffers, Unreadable: the document is somebody's
    :raises Alike: unless `anyway`
    :raises Used: another submission had this token, or one that said something else
    """
    _demand_sound(entry, by=by, today=today)
    registration = Registration(
        pk=entry.token,
        state=State.WAITING,
        cause=entry.cause,
        evidence=entry.evidence,
        campus=by.campus,
        document_type=entry.person.document_type,
        session=session,
        entered_by=by.pk,
        entered_at=at,
    )
    is_looked_at = bool(policy.value("SECOND_LOOK"))
    if is_looked_at:
        _write(registration, entry.person)
    try:
        with transaction.atomic():
            registration.save(force_insert=True)
    except IntegrityError:
        return _entered_before(entry, session=session, by=by)
    _demand_new(entry.person, anyway=anyway)
    record(
        Action.REGISTRATION_ENTER,
        by=by,
        on=registration,
        at=at,
        cause=entry.cause.value,
        evidence=entry.evidence.value,
        guardian=entry.guardian_agrees and needs_guardian(entry.person, entry.cause, today=today),
        document_type=entry.person.document_type,
        **_stated(session=session),
    )
    if not is_looked_at:
        _onboard(registration, entry.person, by=by, at=at)
    return registration


@transaction.atomic
def attend_known(entry: Entry, *, by: Staff, at: datetime, today: date) -> Patient:
    """
    Return who has this document, known at this campus from now on; nobody is created.

    :raises Implausible, Unsuited, GuardianNeeded, NoCampus: nothing has changed
    :raises NameDiffers, Unreadable: the document is on record under another name, or not to be read
    :raises Restricted: nothing may be done with the record
    :raises Unknown: nobody has it
    """
    _demand_sound(entry, by=by, today=today)
    patient = enrolment.known(entry.person).first()
    if patient is None:
        raise Unknown
    demand_unrestricted(patient)
    with enrolment.legible():
        enrolment.demand_same_name(patient, entry.person)
    attend(patient, campus=by.campus, at=at)
    _identified(patient, entry.evidence, by=by.pk, at=at)
    record(Action.PATIENT_ATTEND, by=by, on=patient, at=at, campus=by.campus)
    return patient


@transaction.atomic
def confirm(
    registration: Registration, *, again: str, born: date | None = None, by: Staff, at: datetime
) -> Patient:
    """
    Make the patient a colleague entered, once somebody else has read the original too.

    :param again: the number as read from the original, or what stands for it: see `repeated`
    :param born: the birth date, where the number does not say it: see `repeats_birth`
    :raises OwnEntry, NotWaiting, DoesNotRepeat:
    :raises Known, NameDiffers: the document became somebody's meanwhile
    """
    registration = _waiting(registration, by=by)
    person = _read(registration)
    if not _repeats(person, again) or (repeats_birth(registration) and born != person.born):
        raise DoesNotRepeat
    _demand_new(person, anyway=True)
    registration.looked_by, registration.looked_at = by.pk, at
    patient = _onboard(registration, person, by=by, at=at)
    record(
        Action.REGISTRATION_DECIDE,
        by=by,
        on=registration,
        at=at,
        decision=State.DONE.value,
        patient=patient.pk,
    )
    return patient


@transaction.atomic
def send_back(registration: Registration, *, note: str, by: Staff, at: datetime) -> None:
    """
    End it without a patient, and say why; what was entered is gone.

    :raises OwnEntry, NotWaiting, NoNote:
    :raises TellsWho: there is a number in the note, or the name that was entered
    """
    registration = _waiting(registration, by=by)
    if not note.strip():
        raise NoNote
    if plausible.tells_who(note, registration.real_name or ""):
        raise TellsWho
    registration.looked_by, registration.looked_at, registration.note = by.pk, at, note.strip()
    _end(registration, State.RETURNED)
    decision = State.RETURNED.value
    record(Action.REGISTRATION_DECIDE, by=by, on=registration, at=at, decision=decision)


def seen_by(staff: Staff) -> QuerySet[Registration]:
    """
    Return the registrations of this member of staff's campus.

    :raises NotCleared: they are not cleared for patients at all
    """
    labels.demand(staff, "patients.patient")
    if not staff.campus:
        return Registration.objects.none()
    return Registration.objects.filter(campus=staff.campus)


@transaction.atomic
def look(registration: Registration, *, by: Staff, at: datetime) -> dict[str, str]:
    """Return what was entered, masked; that `by` is shown it is on record."""
    record(
        Action.PATIENT_VIEW,
        by=by,
        on=registration,
        at=at,
        count=1,
        subjects=[registration.pk],
        shown=[Shown.NAME_MASKED, Shown.DOCUMENT_TYPE, Shown.DOCUMENT_MASKED],
    )
    person = _read(registration)
    number = documents.masked_number(person.document_number) if person.document_number else ""
    return {
        "姓名": documents.masked_name(person.real_name) if person.real_name else "（未知）",
        "证件类型": registration.get_document_type_display(),
        "证件号码": number or "（无）",
    }


def repeated(registration: Registration) -> str:
    """Return what a colleague has to enter once more: "number", "name", or "" for nothing."""
    if registration.document_type not in WITHOUT_NUMBER:
        return "number"
    return "name" if registration.real_name else ""


def repeats_birth(registration: Registration) -> bool:
    """Return whether a colleague has to enter the birth date once more."""
    return registration.birth_date is not None


def _demand_sound(entry: Entry, *, by: Staff, today: date) -> None:
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


def _demand_new(person: Person, *, anyway: bool) -> None:
    likenesses.wait_turn(person.real_name, born=person.born)
    if patient := enrolment.known(person).first():
        with enrolment.legible():
            enrolment.demand_same_name(patient, person)
        raise Known(patient)
    if not anyway and (found := list(likenesses.alike(person.real_name, born=person.born))):
        raise Alike(found)


def _entered_before(entry: Entry, *, session: UUID | None, by: Staff) -> Registration:
    before = Registration.objects.select_related("patient").filter(
        pk=entry.token,
        entered_by=by.pk,
        cause=entry.cause,
        evidence=entry.evidence,
        session=session,
    )
    found = before.first()
    if found is None or not _is_of(found, entry.person):
        raise Used
    return found


def _is_of(registration: Registration, person: Person) -> bool:
    """Whether this was entered, or became, the same person; of nobody who cannot be read."""
    patient = registration.patient
    if patient is None and registration.state != State.WAITING:
        return False
    try:
        with enrolment.legible():
            if patient is None:
                return _parts(_read(registration)) == _parts(person)
            name = person.real_name or documents.temporary_name(patient.number)
            return _parts(_on_record(patient)) == _parts(replace(person, real_name=name))
    except enrolment.Unreadable:
        return False


def _on_record(patient: Patient) -> Person:
    return Person(
        real_name=patient.real_name or "",
        document_type=patient.document_type,
        document_number=patient.document_number or "",
        birth_date=patient.born,
    )


def _parts(person: Person) -> tuple[str, int, str, date | None]:
    kind = person.document_type
    number = documents.canonical_number(kind, person.document_number)
    return person_name(person.real_name), kind, number, person.born


def _onboard(registration: Registration, person: Person, *, by: Staff, at: datetime) -> Patient:
    patient, is_new = enrolment.create(person, at=at)
    if not is_new:
        enrolment.demand_same_name(patient, person)
        raise Known(patient)
    attend(patient, campus=registration.campus, at=at)
    # Who had the original before them, not who looked at it a second time.
    evidence = Evidence(registration.evidence)
    _identified(patient, evidence, by=registration.entered_by, at=at)
    likenesses.find(patient, by=by, at=at)
    registration.patient = patient
    _end(registration, State.DONE)
    record(
        Action.PATIENT_ONBOARD,
        by=by,
        on=patient,
        at=at,
        is_new=True,
        document_type=person.document_type,
        method=Identification.Method.MANUAL.value,
        evidence=evidence.value,
        registration=registration.pk,
        identity=identity.commit(patient),
        **_stated(session=registration.session),
    )
    return patient


def _identified(patient: Patient, evidence: Evidence, *, by: UUID, at: datetime) -> None:
    Identification.objects.create(
        patient=patient, method=Identification.Method.MANUAL, evidence=evidence, by=by, at=at
    )


def _waiting(registration: Registration, *, by: Staff) -> Registration:
    if registration.entered_by == by.pk:
        raise OwnEntry
    locked = Registration.objects.select_for_update().filter(
        pk=registration.pk, state=State.WAITING
    )
    found = locked.first()
    if found is None:
        raise NotWaiting
    return found


def _end(registration: Registration, state: State) -> None:
    """Compare and set; the values it held are the patient's now, or nobody's."""
    here = Registration.objects.filter(pk=registration.pk, state=State.WAITING)
    moved = here.update(
        state=state,
        patient=registration.patient,
        looked_by=registration.looked_by,
        looked_at=registration.looked_at,
        note=registration.note,
        **_DROPPED,
    )
    if not moved:
        raise NotWaiting
    registration.refresh_from_db()


def _write(registration: Registration, person: Person) -> None:
    registration.real_name = person.real_name or None
    registration.document_number = person.document_number or None
    registration.birth_date = enrolment.stated_birth_date(person)


def _read(registration: Registration) -> Person:
    born = registration.birth_date
    return Person(
        real_name=registration.real_name or "",
        document_type=registration.document_type,
        document_number=registration.document_number or "",
        birth_date=date.fromisoformat(born) if born else None,
    )


def _repeats(person: Person, again: str) -> bool:
    kind = person.document_type
    if person.document_number:
        number = documents.canonical_number(kind, person.document_number)
        read, name = (again, "") if kind in WORDED else documents.scanned(again)
        if documents.canonical_number(kind, read) != number:
            return False
        return not name or _is_name(name, person)
    return _is_name(again, person)


def _is_name(name: str, person: Person) -> bool:
    return person_name(plausible.clean_name(name)) == person_name(person.real_name)


def _stated(**facts: Any) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}
