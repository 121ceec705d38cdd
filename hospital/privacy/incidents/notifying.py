"""Whom the hospital has told, who is overdue, and the end of it."""

from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from hospital.accounts.models import Staff
from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.errors import Refusal
from hospital.privacy.incidents.classifying import Closed
from hospital.privacy.models import Incident, Inquiry, Notification

_LONGEST: Final = 200  # characters of a conclusion


class AlreadyTold(Refusal):
    code = "incident_already_told"
    message = "已经登记过报告"


class NotAllTold(Refusal):
    code = "incident_not_all_told"
    message = "还有没有完成的报告或告知，不能关闭"


class NotClassified(Refusal):
    code = "incident_not_classified"
    message = "请先定级，再关闭"


class StillAsking(Refusal):
    code = "incident_still_asking"
    message = "还在查询受影响的患者，请等查询完成再关闭"


class NoConclusion(Refusal):
    code = "incident_no_conclusion"
    message = "请填写结论"


@transaction.atomic
def told(notification: Notification, *, reference: str, by: Staff, at: datetime) -> None:
    """
    Note that somebody was told, and under which number they answered.

    :raises AlreadyTold, Closed:
    """
    incident = _held(notification.incident)
    waiting = incident.notifications.filter(pk=notification.pk, told_at=None)
    reference = canonical.text(reference, longest=64)
    if not waiting.update(told_by=by.pk, told_at=at, reference=reference):
        raise AlreadyTold
    record(Action.INCIDENT_NOTIFY, by=by, on=incident, at=at, recipient=notification.recipient)
    notification.refresh_from_db()


def overdue(*, at: datetime) -> QuerySet[Notification]:
    """Return who should have been told before `at` and was not, oldest first."""
    waiting = Notification.objects.filter(told_at=None, due_at__lt=at)
    return waiting.exclude(incident__state=Incident.State.CLOSED).order_by("due_at")


def warn_of_overdue(*, at: datetime) -> int:
    """Say once of each who is overdue; return of how many it was said now."""
    late = overdue(at=at).filter(is_late_told=False).select_related("incident")
    return sum(_warn(one, at=at) for one in late)


@transaction.atomic
def close(incident: Incident, *, conclusion: str, by: Staff, at: datetime) -> None:
    """
    Close it, with what was found out and done; a drill also when not all were told.

    :raises NoConclusion, NotClassified, NotAllTold, StillAsking, Closed:
    """
    if not conclusion.strip():
        raise NoConclusion
    known = _held(incident)
    if known.state == Incident.State.OPEN:
        raise NotClassified
    if not known.is_drill and known.notifications.filter(told_at=None).exists():
        raise NotAllTold
    if Inquiry.objects.filter(incident=known, is_done=False).exists():
        raise StillAsking
    known.state, known.conclusion = (
        Incident.State.CLOSED,
        canonical.text(conclusion, longest=_LONGEST),
    )
    known.closed_by, known.closed_at = by.pk, at
    known.save()
    record(Action.INCIDENT_CLOSE, by=by, on=known, at=at)
    incident.refresh_from_db()


def _held(incident: Incident) -> Incident:
    """Return it as it is now, and let nobody else change it meanwhile."""
    known = Incident.objects.select_for_update().get(pk=incident.pk)
    if known.state == Incident.State.CLOSED:
        raise Closed
    return known


@transaction.atomic
def _warn(notification: Notification, *, at: datetime) -> bool:
    unsaid = Notification.objects.filter(pk=notification.pk, told_at=None, is_late_told=False)
    if not unsaid.update(is_late_told=True):
        return False
    incident = notification.incident
    record(
        Action.INCIDENT_LATE,
        by=SYSTEM,
        on=incident,
        at=at,
        recipient=notification.recipient,
        code="drill" if incident.is_drill else "late",
    )
    return True
