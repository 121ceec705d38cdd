"""A week of the trail in numbers, beside the week before."""

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.alarms.bursts import NIGHT
from hospital.audit.findings import Review
from hospital.audit.models import Event, EventQuerySet
from hospital.audit.recording import SYSTEM, record
from hospital.audit.stated import name
from hospital.audit.times import micros, moment

_HOUR: Final = 3_600_000_000  # microseconds
_WEEK: Final = timedelta(days=7)
_MOST_DUE: Final = 26  # weeks made at once
_TOP: Final = 10  # of those who were turned away most

# What the page names besides the actions themselves → the actions it sums up.
NOTED: Final = {
    "new_terminals": (Action.TERMINAL_ACTIVATE, Action.TERMINAL_REPLACE),
    "exports": (Action.EXPORT_REQUEST,),
    "downloads": (Action.EXPORT_DOWNLOAD,),
    "login_failures": (Action.LOGIN_FAILED,),
    "role_changes": (Action.ROLE_ASSIGN,),
    "findings": (Action.FINDING_RAISE,),
}


def make_due(*, at: datetime) -> list[Review]:
    """
    Make what is missing as far as the last whole week, at most half a year of it, oldest first.

    The first analysis is of the last whole week, if anything was there by then.
    """
    today = timezone.localtime(at).date()
    last = today - timedelta(days=today.weekday()) - _WEEK
    made = Review.objects.order_by("-week").values_list("week", flat=True).first()
    _, end = span(last)
    if made is None and not Event.objects.filter(at_us__lt=micros(end)).exists():
        return []
    first = made + _WEEK if made else last
    due = [first + n * _WEEK for n in range(_MOST_DUE) if first + n * _WEEK <= last]
    return [review for week in due if (review := make(week, at=at))]


def make(week: date, *, at: datetime) -> Review | None:
    """
    Make the analysis of the week that begins on this Monday; None if somebody else has.

    :param week: local date
    """
    counts = {"this": _counted(week), "before": _counted(week - _WEEK)}
    with transaction.atomic():
        review, is_new = Review.objects.get_or_create(
            week=week, defaults={"made_at": at, "counts": counts}
        )
        if not is_new:
            return None
        total = counts["this"]["total"]
        record(Action.REVIEW_MAKE, by=SYSTEM, on=review, at=at, week=str(week), count=total)
    return review


def span(week: date) -> tuple[datetime, datetime]:
    """Return when the week begins and ends, local midnight."""
    local = timezone.get_current_timezone()
    return (
        datetime.combine(week, time(), local),
        datetime.combine(week + _WEEK, time(), local),
    )


def _counted(week: date) -> dict[str, Any]:
    start, end = span(week)
    events = Event.objects.filter(at_us__gte=micros(start), at_us__lt=micros(end)).order_by()
    actions: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    actors: Counter[str] = Counter()
    staff = at_night = 0
    for action, outcome, actor, hour, count in _groups(events):
        actions[name(action)] += count
        outcomes[name(outcome)] += count
        actors[name(actor)] += count
        if actor == "staff":
            staff += count
            at_night += count if _is_night(hour) else 0
    return {
        "total": actions.total(),
        "actions": dict(actions.most_common()),
        "outcomes": dict(outcomes),
        "actors": dict(actors),
        "staff": staff,
        "off_hours": at_night,
        "denials": _denials(events),
        "verified": _verified(events),
        **{
            what: sum(actions[action.value.tag] for action in which)
            for what, which in NOTED.items()
        },
    }


def _groups(events: EventQuerySet) -> Iterator[tuple[str, str, str, int, int]]:
    hours = events.annotate(hour=F("at_us") / _HOUR)
    grouped = hours.values_list("action", "outcome", "actor_type", "hour")
    yield from grouped.annotate(count=Count("id"))


def _is_night(hour: int) -> bool:
    local = timezone.localtime(moment(hour * _HOUR)).hour
    return local >= NIGHT[0] or local < NIGHT[1]


def _denials(events: EventQuerySet) -> list[dict[str, Any]]:
    """Return who was turned away most, and from what."""
    denied = events.filter(outcome="denied")
    groups = denied.values("action", "actor_type", "actor_id").annotate(count=Count("id"))
    return [
        {column: value if column == "count" else name(value) for column, value in group.items()}
        for group in groups.order_by("-count", "action", "actor_id")[:_TOP]
    ]


def _verified(events: EventQuerySet) -> dict[str, int]:
    runs = events.filter(action=Action.AUDIT_VERIFY.value.tag)
    outcomes = runs.values_list("outcome").annotate(count=Count("id"))
    return {name(outcome): count for outcome, count in outcomes}
