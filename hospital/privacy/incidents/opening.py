"""Something went wrong with people's data: from here on the clocks run."""

from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from hospital.accounts.models import Staff
from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.privacy.incidents.clocks import MANAGEMENT
from hospital.privacy.models import Incident, Notification

_TRIES: Final = 5
_LONGEST: Final = 200  # characters of what somebody says of it


class NotYet(Refusal):
    code = "incident_not_yet"
    message = "发现时间不能晚于现在"


class WrongWindow(Refusal):
    code = "incident_wrong_window"
    message = "发生时间不能晚于结束时间或发现时间"


class Busy(Refusal):
    code = "incident_busy"
    message = "同时登记的事件太多，请重试"


@transaction.atomic
def open_(
    kind: Incident.Kind,
    *,
    summary: str,
    found_at: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    is_drill: bool = False,
    by: Staff,
    at: datetime,
) -> Incident:
    """
    Open an incident; whoever answers for it in the hospital is to be told within the hour.

    :param summary: what is known, without names
    :param since: from when on it went on, as far as that is known
    :raises NotYet, WrongWindow, Busy:
    """
    if found_at > at:
        raise NotYet
    if since and (since > found_at or (until and since > until)):
        raise WrongWindow
    incident = _numbered(
        kind=kind,
        is_drill=is_drill,
        summary=canonical.text(summary, longest=_LONGEST),
        since=since,
        until=until,
        found_at=found_at,
        opened_by=by.pk,
        opened_at=at,
    )
    Notification.objects.create(
        incident=incident,
        recipient=Notification.Recipient.MANAGEMENT,
        due_at=MANAGEMENT.due(found_at),
    )
    record(Action.INCIDENT_OPEN, by=by, on=incident, at=at, kind=incident.kind, is_drill=is_drill)
    return incident


def _numbered(**fields: Any) -> Incident:
    for _ in range(_TRIES):
        number = _number(is_drill=fields["is_drill"], at=fields["opened_at"])
        # Somebody who opened another meanwhile may have it: they are waited for, and counted.
        with suppress(IntegrityError), transaction.atomic():
            return Incident.objects.create(number=number, **fields)
    raise Busy


def _number(*, is_drill: bool, at: datetime) -> str:
    """Return the next number of the day; a drill's looks like no other."""
    prefix = f"{'DR' if is_drill else 'IR'}-{timezone.localdate(at):%Y%m%d}-"
    return f"{prefix}{Incident.objects.filter(number__startswith=prefix).count() + 1:02}"
