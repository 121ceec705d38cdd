"""How grave it is, which decides whom to tell by when."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db import transaction

from hospital.accounts.models import Staff
from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.privacy.incidents import clocks
from hospital.privacy.models import Incident, Notification

Level = Incident.Level

# People whose data leaked, from which number on; remembered, not read: 以主管部门规定为准.
THRESHOLDS: Final[Sequence[tuple[Level, int]]] = (
    (Level.CRITICAL, 100_000_000),
    (Level.MAJOR, 10_000_000),
    (Level.LARGER, 1_000_000),
)
_LONGEST: Final = 200  # characters


class Closed(Refusal):
    code = "incident_closed"
    message = "该事件已经关闭"


def suggested(affected: int) -> Level:
    """Return the level that follows from how many people it is about, and from nothing else."""
    return next((level for level, most in THRESHOLDS if affected >= most), Level.GENERAL)


@transaction.atomic
def classify(
    incident: Incident, level: Incident.Level, *, measures: str = "", by: Staff, at: datetime
) -> None:
    """
    Say how grave it is; once more when more is known.

    Clocks run from when it was found, not from now. Who was told stays told.

    :param measures: what was done about it so far, without names
    :raises Closed:
    """
    known = Incident.objects.select_for_update().get(pk=incident.pk)
    if known.state == Incident.State.CLOSED:
        raise Closed
    before = known.level
    known.level, known.state = level, Incident.State.CLASSIFIED
    known.measures = canonical.text(measures, longest=_LONGEST)
    known.classified_by, known.classified_at = by.pk, at
    known.save()
    _set_clocks(known)
    record(Action.INCIDENT_CLASSIFY, by=by, on=known, at=at, level=level.value, before=before)
    incident.refresh_from_db()


def _set_clocks(incident: Incident) -> None:
    demanded = clocks.demanded(incident.kind, incident.level)
    waiting = incident.notifications.filter(told_at=None)
    waiting.exclude(recipient__in=demanded).delete()
    standing = {one.recipient: one for one in incident.notifications.all()}
    for recipient, clock in demanded.items():
        due = clock.due(incident.found_at)
        if recipient not in standing:
            Notification.objects.create(incident=incident, recipient=recipient, due_at=due)
        elif standing[recipient].told_at is None and standing[recipient].due_at != due:
            waiting.filter(recipient=recipient).update(due_at=due, is_late_told=False)
