"""What was typed is somebody on record already: whether the two may be one person."""

from datetime import date, datetime

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.crypto.normalising import person_name
from hospital.errors import Refusal
from hospital.patients import likenesses
from hospital.patients.correcting.counting import UNTOLD
from hospital.patients.documents import WITHOUT_NUMBER
from hospital.patients.enrolment import Person
from hospital.patients.models import Identification, Likeness, Patient

Evidence = Identification.Evidence


class Anothers(Refusal):
    """The document is somebody's who is not known to be this patient: nothing is said of them."""

    code = "correction_anothers"
    message = "该证件号码已属于另一份档案"


def note(
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
        reason=UNTOLD,
    )
    return likenesses.note(patient, holder, kind=Likeness.Kind.EXACT, by=by, at=at)


def _name_and_birth(patient: Patient) -> tuple[str, date | None]:
    return person_name(patient.real_name or ""), patient.born
