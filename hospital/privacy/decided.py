"""What the trail says of what became of a request, whoever or whatever ended it."""

from datetime import datetime

from hospital.audit.actions import Action
from hospital.audit.recording import Actor, HasActor, record
from hospital.privacy.models import RightsRequest


def note(
    request: RightsRequest, decision: str, *, code: str = "", by: HasActor | Actor, at: datetime
) -> None:
    record(
        Action.RIGHTS_ANSWER,
        by=by,
        on=request,
        at=at,
        kind=request.kind,
        patient=request.patient,
        decision=decision,
        code=code,
    )
