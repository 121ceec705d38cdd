"""Rules about how often: more of these acts in a time than there should be."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final

from django.db.models import Count, Max, Min, TextField
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.alarms.occurring import latest
from hospital.audit.detection import Growth, Occasion
from hospital.audit.findings import Finding
from hospital.audit.models import Event, EventQuerySet, PayloadText
from hospital.audit.stated import name, number
from hospital.audit.times import micros, moment

NIGHT: Final = (22, 6)  # from this hour to that, local time

_OPEN: Final = 200  # findings of a rule that are looked after
_DIGITS: Final = 16  # of a number an event may state

Span = tuple[datetime, datetime]
Groups = dict[tuple[Any, ...], "Group"]


class Of(enum.Enum):
    """Whose acts are counted together."""

    ALL = "all"
    ACTOR = "actor"
    OBJECT = "object"

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that name whom; not its value: Python 3.11.2 makes no member of an empty tuple."""
        return () if self is Of.ALL else (f"{self.value}_type", f"{self.value}_id")


@dataclass
class Group:
    """Acts that are counted together: how much they come to, and the first and the last."""

    count: int
    first: int
    since: int
    until: int

    def add(self, other: "Group") -> None:
        self.count += other.count
        self.first = min(self.first, other.first)
        self.since = min(self.since, other.since)
        self.until = max(self.until, other.until)


@dataclass(frozen=True)
class Burst:
    """
    `threshold` or more of `actions` within `window` by, or on, the same.

    :param fact: the number that is summed up, where an act counts for more than one
    :param outcome: only acts that ended so; empty for all
    :param role: whose acts alone are counted: those of who held it at that moment
    """

    kind: str
    title: str
    severity: Finding.Severity
    actions: frozenset[Action]
    of: Of
    window: timedelta
    threshold: int
    by_staff: bool = False
    at_night: bool = False
    fact: str = ""
    role: str = ""
    outcome: str = ""

    def occasions(self, at: datetime) -> Iterator[Occasion | Growth]:
        """Yield what open findings have become, and what is above the threshold and in none."""
        for finding in self._open():
            yield self.since(finding, at)
        for span in self._spans(at - self.window, at):
            for who, group in self._above(*span).items():
                about = ":".join(map(name, who))
                last = latest(self.kind, about)
                if last is None:
                    yield self._occasion(who, about, group)
                elif last.state != Finding.State.OPEN:
                    # What the settled one did not count yet, somebody has yet to look at.
                    start = max(span[0], _counted(last))
                    fresh = self._above(start, span[1], who)
                    yield from (self._occasion(who, about, one) for one in fresh.values())

    def since(self, finding: Finding, at: datetime) -> Growth:
        """Return what a finding of this rule has become by now."""
        count = number(finding.facts.get("count"))
        until = number(finding.facts.get("until"))
        who = tuple(finding.facts.get(column, "") for column in self.of.columns)
        for span in self._spans(_counted(finding), at):
            for group in self._groups(*span, who).values():
                count, until = count + group.count, max(until, group.until)
        return Growth(finding, count, until)

    def _open(self) -> Iterator[Finding]:
        found = Finding.objects.filter(kind=self.kind, state=Finding.State.OPEN)
        yield from found.order_by("-id")[:_OPEN]

    def _spans(self, start: datetime, end: datetime) -> list[Span]:
        return list(nights(start, end)) if self.at_night else [(start, end)]

    def _above(self, start: datetime, end: datetime, who: tuple[Any, ...] | None = None) -> Groups:
        groups = self._groups(start, end, who)
        return {one: group for one, group in groups.items() if group.count >= self.threshold}

    def _groups(self, start: datetime, end: datetime, who: tuple[Any, ...] | None = None) -> Groups:
        columns = self.of.columns
        events = self._events(start, end)
        if who is not None:
            events = events.filter(**dict(zip(columns, who, strict=True)))
        if self.of is Of.OBJECT:
            events = events.exclude(object_id="")
        # By the text of the number as well: a forged one that is none must stop no query.
        weight = PayloadText("facts", self.fact or "count", output_field=TextField())
        by = [*columns, "weight"] if self.fact else columns
        rows = (events.annotate(weight=weight) if self.fact else events).order_by().values(*by)
        counted = {"count": Count("id"), "first": Min("id")}
        counted |= {"since": Min("at_us"), "until": Max("at_us")}
        found: Groups = {}
        for row in rows.annotate(**counted) if by else [events.aggregate(**counted)]:
            if not row["count"]:
                continue
            times = row["count"] * _weight(row.get("weight"))
            group = Group(times, row["first"], row["since"], row["until"])
            of = tuple(row[column] for column in columns)
            if of in found:
                found[of].add(group)
            else:
                found[of] = group
        return found

    def _events(self, start: datetime, end: datetime) -> EventQuerySet:
        events = Event.objects.filter(
            action__in=sorted(action.value.tag for action in self.actions),
            at_us__gt=micros(start),
            at_us__lte=micros(end),
        )
        if self.role:
            held = PayloadText("actor", "role", output_field=TextField())
            events = events.alias(held=held).filter(held=self.role)
        if self.outcome:
            events = events.filter(outcome=self.outcome)
        return events.filter(actor_type="staff") if self.by_staff else events

    def _occasion(self, who: tuple[Any, ...], about: str, group: Group) -> Occasion:
        whose = dict(zip(self.of.columns, map(name, who), strict=True))
        return Occasion(
            self.kind,
            self.severity,
            first=str(group.first),
            about=about,
            count=group.count,
            subjects=[one for column, one in whose.items() if column.endswith("_id")],
            facts={**whose, "since": group.since, "until": group.until},
        )


def _weight(text: object) -> int:
    """Return how much an act counts for; one that does not say, for one."""
    digits = str(text)
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS
    return max(1, number(int(digits))) if is_number else 1


def _counted(finding: Finding) -> datetime:
    """Return until when a finding has counted."""
    counted = number(finding.facts.get("counted"))
    return moment(counted) if counted else finding.at


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
