"""
更正: a name, number or birth date that was wrong becomes right, once a second person looked.

So do a newborn's and an emergency's, who had none. The old values are kept nowhere in clear: the
trail has the digest of what they were.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet

from hospital import labels
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import record
from hospital.audit.times import micros
from hospital.crypto.normalising import person_name
from hospital.errors import Refusal
from hospital.patients import documents, enrolment, handing_off, identity, likenesses, plausible
from hospital.patients.documents import WITHOUT_NUMBER, DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import (
    Attendance,
    Correction,
    Identification,
    Likeness,
    Patient,
)
from hospital.patients.registering import SUITABLE, Implausible, Unsuited, judge
from hospital.patients.restriction import demand_unrestricted
from hospital.roles import Role

Evidence = Identification.Evidence
State = Correction.State

ASKS: Final = 20  # of one person within a day; the ones that were refused count as well
_DAY: Final = timedelta(days=1)
_DROPPED: Final = {"real_name": None, "document_number": None, "birth_date": None}
_BORN: Final = "********"
_UNTOLD: Final = "没有成为申请"  # in the trail, for a reason that may say who it is about
_LABELS: Final = tuple(f"patients.patient.{name}" for name in _DROPPED)


class NothingToCorrect(Refusal):
    code = "nothing_to_correct"
    message = "填写的内容与档案相同，没有需要更正的"


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


class TooManyAsked(Refusal):
    """Each of them compares what somebody typed with what is on record."""

    code = "correction_too_many"
    message = f"24 小时内最多申请 {ASKS} 次更正，请由同事申请"


class Anothers(Refusal):
    """The document is somebody's who is not known to be this patient: nothing is said of them."""

    code = "correction_anothers"
    message = "该证件号码已属于另一份档案"


class AlreadyAsked(Refusal):
    code = "correction_already_asked"
    message = "这位患者已有一项更正在等待复核"


class SamePerson(Refusal):
    code = "correction_same_person"
    message = "申请人不能复核自己的申请，请另一位同事复核"


class NotAsker(Refusal):
    code = "correction_not_asker"
    message = "只有申请人可以撤回申请"


class NotOpen(Refusal):
    code = "correction_not_open"
    message = "该申请已处理过"


class Taken(Refusal):
    """It became somebody else's after it was asked for."""

    code = "document_taken"
    message = "该证件现在属于另一份档案，不能更正；请退回后按疑似重复处理"


class Doubtful(Refusal):
    """A correction would cover up that somebody changed the record behind the system's back."""

    code = "identity_doubtful"
    message = "该档案与留痕不符，暂不能更正，请告诉安全管理员"


@dataclass(frozen=True)
class Change:
    """
    One value that is to change, as it is and as it is to be: both as any page shows them.

    Never cut to where they differ: who may ask again and again would read the old one by that.
    """

    label: str
    before: str
    after: str

    @property
    def is_hidden(self) -> bool:
        """Whether they differ in what is not shown."""
        return self.before == self.after


def demand_cleared(staff: Staff) -> None:
    """:raises NotCleared: they are not trusted with what a correction is about"""
    for label in _LABELS:
        labels.demand(staff, label)


def ask(
    patient: Patient,
    person: Person,
    *,
    evidence: Evidence,
    reason: str,
    by: Staff,
    at: datetime,
    today: date,
) -> Correction | Likeness:
    """
    Ask for `patient` to be `person`; where that is somebody on record, note the likeness.

    :raises NotCleared: `by` is not cleared for what identifies a person
    :raises Implausible, Unsuited, NoReason, TellsWho, Numbered: nothing has changed
    :raises Restricted: nothing may be done with this record
    :raises TooManyAsked: `ASKS` a day, whatever came of them
    :raises NothingToCorrect, Anothers, AlreadyAsked, Unreadable: that it was asked for is on record
    """
    demand_cleared(by)
    demand_unrestricted(patient)
    _demand_sound(patient, person, evidence=evidence, reason=reason, today=today)
    with transaction.atomic():
        # Two windows of one person wait here for each other: the last one left is asked once.
        Staff.objects.select_for_update(no_key=True).get(pk=by.pk)
        before = _counted(by, since=at - _DAY)
        try:
            with transaction.atomic(), enrolment.legible():
                if before >= ASKS:
                    raise TooManyAsked
                return _ask(patient, person, evidence=evidence, reason=reason, by=by, at=at)
        except Refusal as exc:
            refusal = exc
        if before <= ASKS:  # the first that was too many, and not all that follow
            record(
                Action.CORRECTION_ASK,
                by=by,
                on=patient,
                at=at,
                outcome="denied",
                patient=patient.pk,
                evidence=evidence.value,
                reason=_UNTOLD,
            )
    raise refusal


@transaction.atomic
def approve(correction: Correction, *, by: Staff, at: datetime) -> Patient:
    """
    Let the patient be what was asked for.

    :raises NotCleared: `by` is not cleared for what identifies a person
    :raises SamePerson, NotOpen:
    :raises Unreadable: the record was erased, or cannot be opened
    :raises Taken: the document became another patient's meanwhile
    :raises Doubtful: the record is not what the trail says was verified
    :raises Restricted: nothing may be done with this record
    """
    demand_cleared(by)
    correction = _open(correction)
    if correction.asked_by == by.pk:
        raise SamePerson
    with enrolment.legible():
        person = _wanted(correction)
        # Before the patient's row: whoever makes another of that name locks in this order.
        likenesses.wait_turn(person.real_name, born=person.born)
        patient = Patient.objects.select_for_update().get(pk=correction.patient_id)
        demand_unrestricted(patient)
        if identity.agrees(patient) is False:
            raise Doubtful
        fields = _differing(patient, person)
        _apply(patient, person)
    _end(correction, State.DONE, by=by, at=at)
    Identification.objects.create(
        patient=patient,
        method=Identification.Method.MANUAL,
        evidence=correction.evidence,
        by=correction.asked_by,
        at=at,
    )
    record(
        Action.PATIENT_CORRECT,
        by=by,
        on=patient,
        at=at,
        fields=fields,
        correction=correction.pk,
        identity=identity.commit(patient),
    )
    likenesses.find(patient, by=by, at=at)
    handing_off.owe(patient, at=at)
    return patient


@transaction.atomic
def refuse(correction: Correction, *, by: Staff, at: datetime) -> None:
    """
    Leave the patient as they are; what was asked for is gone.

    :raises NotCleared: `by` is not cleared for what identifies a person
    :raises SamePerson, NotOpen:
    """
    demand_cleared(by)
    correction = _open(correction)
    if correction.asked_by == by.pk:
        raise SamePerson
    _end(correction, State.REFUSED, by=by, at=at)


@transaction.atomic
def withdraw(correction: Correction, *, by: Staff, at: datetime) -> None:
    """
    Take a request back.

    :raises NotAsker, NotOpen:
    """
    correction = _open(correction)
    if correction.asked_by != by.pk:
        raise NotAsker
    _end(correction, State.WITHDRAWN, by=by, at=at)


def seen_by(staff: Staff) -> QuerySet[Correction]:
    """
    Return the corrections of patients this member of staff may know of.

    :raises NotCleared: they are not cleared for patients at all
    """
    labels.demand(staff, "patients.patient")
    corrections = Correction.objects.select_related("patient")
    if staff.role == Role.PRIVACY:  # answers for all of them
        return corrections
    if not staff.campus:
        return corrections.none()
    theirs = Attendance.objects.filter(patient=OuterRef("patient"), campus=staff.campus)
    return corrections.filter(Exists(theirs))


def changes(correction: Correction) -> list[Change]:
    """
    Return what an open request is to change, masked.

    :raises Unreadable: the record was erased, or cannot be opened
    """
    with enrolment.legible():
        patient, person = correction.patient, _wanted(correction)
        fields = _differing(patient, person)
        both = {
            "real_name": ("姓名", patient.masked_name, documents.masked_name(person.real_name)),
            "document_type": (
                "证件类型",
                *(str(DocumentType(one).label) for one in _types(patient, person)),
            ),
            "document_number": (
                "证件号码",
                _masked_number(patient.document_number or ""),
                _masked_number(person.document_number),
            ),
            "birth_date": ("出生日期", _BORN if patient.born else "", _BORN if person.born else ""),
        }
        return [Change(*both[name]) for name in fields]


def _masked_number(number: str) -> str:
    return documents.masked_number(number) if number else ""


def _demand_sound(
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


def _counted(by: Staff, *, since: datetime) -> int:
    asked = Event.objects.filter(
        actor_id=str(by.pk), action=Action.CORRECTION_ASK.value.tag, at_us__gt=micros(since)
    )
    return asked.count()  # of one person's day, and no more than a few above `ASKS`


def _ask(
    patient: Patient, person: Person, *, evidence: Evidence, reason: str, by: Staff, at: datetime
) -> Correction | Likeness:
    if not (fields := _differing(patient, person)):
        raise NothingToCorrect
    if plausible.tells_who(reason, patient.real_name or ""):
        raise TellsWho
    if holder := enrolment.known(person).exclude(pk=patient.pk).first():
        return _likeness(patient, person, holder, evidence=evidence, by=by, at=at)
    correction = Correction(
        patient=patient,
        real_name=person.real_name,
        document_type=person.document_type,
        document_number=person.document_number or None,
        birth_date=enrolment.stated_birth_date(person),
        evidence=evidence,
        reason=reason.strip(),
        asked_by=by.pk,
        asked_at=at,
    )
    try:
        with transaction.atomic():
            correction.save(force_insert=True)
    except IntegrityError:
        raise AlreadyAsked from None
    record(
        Action.CORRECTION_ASK,
        by=by,
        on=correction,
        at=at,
        fields=fields,
        patient=patient.pk,
        evidence=evidence.value,
        reason=reason.strip(),
    )
    return correction


def _likeness(
    patient: Patient,
    person: Person,
    holder: Patient,
    *,
    evidence: Evidence,
    by: Staff,
    at: datetime,
) -> Likeness:
    """
    Note that `patient` may be `holder`, who is the person that was typed.

    Who has no number yet may be anybody; who has one, only whose name and birth date agree.

    :raises Anothers: they are not, or not known to be
    """
    is_typed = _name_and_birth(holder) == (person_name(person.real_name), person.born)
    may_be = patient.document_type in WITHOUT_NUMBER or (
        _name_and_birth(patient) == _name_and_birth(holder)
    )
    if not (is_typed and may_be):
        raise Anothers
    # It is an ask as well: it compares what was typed with what is on record.
    record(
        Action.CORRECTION_ASK,
        by=by,
        on=patient,
        at=at,
        outcome="denied",
        patient=patient.pk,
        evidence=evidence.value,
        reason=_UNTOLD,
    )
    return likenesses.note(patient, holder, kind=Likeness.Kind.EXACT, by=by, at=at)


def _name_and_birth(patient: Patient) -> tuple[str, date | None]:
    return person_name(patient.real_name or ""), patient.born


def _types(patient: Patient, person: Person) -> tuple[int, int]:
    return patient.document_type, person.document_type


def _differing(patient: Patient, person: Person) -> list[str]:
    """Return which values are to change, by the names of their columns."""
    old, new = _types(patient, person)
    before = documents.canonical_number(old, patient.document_number or "")
    pairs = {
        # As it is written: a spelling is worth a correction. Who has none yet keeps the temporary.
        "real_name": (patient.real_name, person.real_name or patient.real_name),
        "document_type": (old, new),
        "document_number": (before, documents.canonical_number(new, person.document_number)),
        "birth_date": (patient.born, person.born),
    }
    return [name for name, (one, other) in pairs.items() if one != other]


def _wanted(correction: Correction) -> Person:
    born = correction.birth_date
    return Person(
        real_name=correction.real_name or "",
        document_type=correction.document_type,
        document_number=correction.document_number or "",
        birth_date=date.fromisoformat(born) if born else None,
    )


def _apply(patient: Patient, person: Person) -> None:
    patient.real_name = person.real_name or patient.real_name
    patient.document_type = person.document_type
    patient.document_number = person.document_number or None
    patient.birth_date = enrolment.stated_birth_date(person)
    patient.thinned_at = None  # it is whole again, and its digests are made anew
    try:
        with transaction.atomic():
            patient.save()
    except IntegrityError:
        raise Taken from None  # the unique index on the document decided


def _open(correction: Correction) -> Correction:
    locked = Correction.objects.select_for_update().filter(pk=correction.pk, state=State.ASKED)
    found = locked.first()
    if found is None:
        raise NotOpen
    return found


def _end(correction: Correction, state: State, *, by: Staff, at: datetime) -> None:
    here = Correction.objects.filter(pk=correction.pk, state=State.ASKED)
    if not here.update(state=state, decided_by=by.pk, decided_at=at, **_DROPPED):
        raise NotOpen
    facts: dict[str, Any] = {"decision": state.value, "patient": correction.patient_id}
    record(Action.CORRECTION_DECIDE, by=by, on=correction, at=at, **facts)
