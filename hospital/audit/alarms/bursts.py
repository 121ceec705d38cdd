"""Rules about how often: more of these acts in a time than there should be."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final

from django.db.models import Count, Max, Min
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.alarms.occurring import covered_until
from hospital.audit.detection import Occasion
from hospital.audit.findings import Finding
from hospital.audit.models import Event, EventQuerySet
from hospital.audit.stated import micros, name

NIGHT: Final = (22, 6)  # from this hour to that, local time

Span = tuple[datetime, datetime]


class Of(enum.Enum):
    """Whose acts are counted together: the columns that name them."""

    ALL = ()
    ACTOR = ("actor_type", "actor_id")
    OBJECT = ("object_type", "object_id")


@dataclass(frozen=True)
class Burst:
    """`threshold` or more of `actions` within `window` by, or on, the same."""

    kind: str
    title: str
    severity: Finding.Severity
    actions: frozenset[Action]
    of: Of
    window: timedelta
    threshold: int
    by_staff: bool = False
    at_night: bool = False

    def occasions(self, at: datetime) -> Iterator[Occasion]:
        """Yield what is above the threshold now and is not one finding already."""
        span = (at - self.window, at)
        for start, end in nights(*span) if self.at_night else [span]:
            for group in self._groups(start, end):
                about = ":".join(name(group[column]) for column in self.of.value)
                since = covered_until(self.kind, about, at=at)
                fresh = [group]
                if since and since > start:
                    fresh = list(self._groups(since, end, group))
                yield from (self._occasion(one, about) for one in fresh)

    def _groups(
        self, start: datetime, end: datetime, group: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        events = self._events(start, end)
        columns = self.of.value
        if group:
            events = events.filter(**{column: group[column] for column in columns})
        if self.of is Of.OBJECT:
            events = events.exclude(object_id="")
        counted = {"count": Count("id"), "first": Min("id")}
        counted |= {"since": Min("at_us"), "until": Max("at_us")}
        if not columns:
            yield from filter(self._is_many, [events.aggregate(**counted)])
            return
        groups = events.order_by().values(*columns).annotate(**counted)
        yield from groups.filter(count__gte=self.threshold)

    def _is_many(self, group: dict[str, Any]) -> bool:
        return bool(group["count"] >= self.threshold)

    def _events(self, start: datetime, end: datetime) -> EventQuerySet:
        events = Event.objects.filter(
            action__in=sorted(action.value.tag for action in self.actions),
            at_us__gt=micros(start),
            at_us__lte=micros(end),
        )
        return events.filter(actor_type="staff") if self.by_staff else events

    def _occasion(self, group: dict[str, Any], about: str) -> Occasion:
        whose = {column: name(group[column]) for column in self.of.value}
        return Occasion(
            self.kind,
            self.severity,
            first=str(group["first"]),
            about=about,
            count=group["count"],
            subjects=[one for column, one in whose.items() if column.endswith("_id")],
            facts={**whose, "since": group["since"], "until": group["until"]},
        )


def nights(start: datetime, end: datetime) -> Iterator[Span]:
    """Yield the parts of a span that are night, local time."""
    local = timezone.get_current_timezone()
    day = timezone.localtime(start).date() - timedelta(days=1)
    while day <= timezone.localtime(end).date():
        falls = datetime.combine(day, time(NIGHT[0]), local)
        day += timedelta(days=1)
        breaks = datetime.combine(day, time(NIGHT[1]), local)
        if max(falls, start) < min(breaks, end):
            yield max(falls, start), min(breaks, end)
