"""What a page says of an incident: its clocks, and what was done about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from hospital.audit import stated
from hospital.audit.admin import people, words
from hospital.audit.models import Event
from hospital.privacy.incidents import clocks
from hospital.privacy.models import Incident, Notification

_MINUTE: Final = 60  # seconds
_HOUR: Final = 3_600
_DAY: Final = 24
_RECIPIENTS: Final = dict(Notification.Recipient.choices)
_LEVELS: Final = dict(Incident.Level.choices)


@dataclass(frozen=True)
class Row:
    """One clock: how it stands, in words."""

    notification: Notification
    badge: str
    standing: str
    basis: str


@dataclass(frozen=True)
class Step:
    at: datetime
    what: str
    who: str
    said: str


def rows(incident: Incident, *, at: datetime) -> list[Row]:
    """Return the clocks of an incident, the nearest first."""
    demanded = clocks.demanded(incident.kind, incident.level)
    bases = {who.value: clock.basis for who, clock in demanded.items()}
    return [
        Row(one, *standing(one, at=at), basis=bases.get(one.recipient, ""))
        for one in incident.notifications.order_by("due_at", "recipient")
    ]


def ahead(incident: Incident) -> list[tuple[str, datetime]]:
    """Return by when others are to be told if it turns out to be grave: before it is classified."""
    if incident.state != Incident.State.OPEN:
        return []
    grave = clocks.demanded(incident.kind, Incident.Level.LARGER)
    known = {clocks.Recipient.MANAGEMENT}
    return [
        (str(who.label), clock.due(incident.found_at))
        for who, clock in sorted(grave.items(), key=lambda one: one[1].hours)
        if who not in known
    ]


def standing(one: Notification, *, at: datetime) -> tuple[str, str]:
    """Return how a clock stands: a badge and words."""
    if one.told_at is not None:
        over = one.told_at - one.due_at
        if over > timedelta():
            return "declined", f"已报告，逾期 {span(over)}"
        return "success", "已按时报告"
    if at > one.due_at:
        return "failed", f"已逾期 {span(at - one.due_at)}"
    return "seen", f"还剩 {span(one.due_at - at)}"


def span(length: timedelta) -> str:
    """Return a length of time as people say it, to the minute."""
    seconds = int(length.total_seconds())
    hours, minutes = seconds // _HOUR, seconds % _HOUR // _MINUTE
    if hours >= 2 * _DAY:
        return f"{hours // _DAY} 天 {hours % _DAY} 小时"
    if hours:
        return f"{hours} 小时 {minutes} 分"
    return f"{minutes} 分" if minutes else "不到 1 分钟"


def steps(incident: Incident) -> list[Step]:
    """Return what was done about it, the first first."""
    events = list(Event.objects.on(incident).order_by("id"))
    names = people.names(event.actor_id for event in events if event.actor_type == "staff")
    return [
        Step(
            event.at,
            event.label,
            names.get(str(event.actor_id), "系统"),
            "；".join(_said(stated.facts(event.payload))),
        )
        for event in events
    ]


def _said(facts: dict[str, Any]) -> Iterator[str]:
    if recipient := facts.get("recipient"):
        yield _RECIPIENTS.get(str(recipient), str(recipient))
    if level := facts.get("level"):
        yield _LEVELS.get(str(level), str(level))
    if "start" in facts:
        yield f"{facts['start']} 至 {facts.get('end', '')}"
    if "count" in facts:
        yield f"{words.value(facts['count'])} 人"
