"""What a correction holds of somebody while it is open, and its end."""

from datetime import date, datetime
from typing import Any, Final

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.patients.enrolment import Person
from hospital.patients.models import Correction

State = Correction.State

DROPPED: Final = {"real_name": None, "document_number": None, "birth_date": None}


class NotOpen(Refusal):
    code = "correction_not_open"
    message = "该申请已处理过"


def wanted(correction: Correction) -> Person:
    """Return whom the patient is to be."""
    born = correction.birth_date
    return Person(
        real_name=correction.real_name or "",
        document_type=correction.document_type,
        document_number=correction.document_number or "",
        birth_date=date.fromisoformat(born) if born else None,
    )


def still_open(correction: Correction) -> Correction:
    """
    Return it, locked.

    :raises NotOpen:
    """
    locked = Correction.objects.select_for_update().filter(pk=correction.pk, state=State.ASKED)
    found = locked.first()
    if found is None:
        raise NotOpen
    return found


def end(correction: Correction, state: State, *, by: Staff, at: datetime) -> None:
    """
    Compare and set; the values it held are the patient's now, or nobody's.

    :raises NotOpen:
    """
    here = Correction.objects.filter(pk=correction.pk, state=State.ASKED)
    if not here.update(state=state, decided_by=by.pk, decided_at=at, **DROPPED):
        raise NotOpen
    facts: dict[str, Any] = {"decision": state.value, "patient": correction.patient_id}
    record(Action.CORRECTION_DECIDE, by=by, on=correction, at=at, **facts)
