"""Rules about the trail itself: what it says is wrong, and what it no longer says."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Max

from hospital.audit import standing
from hospital.audit.actions import Action
from hospital.audit.alarms.occurring import covered_until
from hospital.audit.detection import Occasion
from hospital.audit.findings import Finding
from hospital.audit.log import Checkpoint
from hospital.audit.models import Event
from hospital.audit.stated import facts, name, number
from hospital.audit.times import micros

_MOST: Final = 500  # of the trail's own troubles; who made more wants them to be overlooked
_WEEK: Final = timedelta(days=7)


@dataclass(frozen=True)
class Told:
    """Each of `actions` is an occasion."""

    kind: str
    title: str
    severity: Finding.Severity
    actions: frozenset[Action]
    window: timedelta

    def occasions(self, at: datetime) -> Iterator[Occasion]:
        tags = sorted(action.value.tag for action in self.actions)
        events = Event.objects.filter(action__in=tags, at_us__gte=micros(at - self.window))
        seen = set(
            Finding.objects.filter(kind=self.kind, at__gte=at - self.window)
            .order_by()
            .values_list("key", flat=True)
        )
        for event in events.order_by("-at_us", "-id")[:_MOST]:
            occasion = self._occasion(event)
            if occasion.key not in seen:
                yield occasion

    def _occasion(self, event: Event) -> Occasion:
        told = facts(event.payload)
        return Occasion(
            self.kind,
            self.severity,
            first=str(event.pk),
            about=event.action,
            count=number(told.get("count")) or 1,
            facts={"action": event.action, "event": event.pk}
            | {word: name(told[word]) for word in ("kind", "code") if word in told},
        )


@dataclass(frozen=True)
class Late:
    """Events wait for a signature."""

    kind: str
    title: str
    severity: Finding.Severity

    def occasions(self, at: datetime) -> Iterator[Occasion]:
        size = Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0
        seconds = standing.lag(at, size=size)
        if seconds <= standing.LATE.total_seconds() or covered_until(self.kind, "", at=at) == at:
            return
        yield Occasion(
            self.kind,
            self.severity,
            first=f"{size}-{micros(at)}",
            facts={"seconds": int(seconds), "size": size},
        )


@dataclass(frozen=True)
class Unverified:
    """Nobody has verified the trail for too long; said again when it has become as long again."""

    kind: str
    title: str
    severity: Finding.Severity

    def occasions(self, at: datetime) -> Iterator[Occasion]:
        if not standing.is_unverified(at, standing.verified(at)):
            return
        covered = covered_until(self.kind, "", at=at)
        if covered is None or at - covered > standing.UNVERIFIED:
            yield Occasion(self.kind, self.severity, first=str(micros(at)))


@dataclass(frozen=True)
class Silent:
    """Nobody acted within `window`, when a week ago there were `threshold` acts or more."""

    kind: str
    title: str
    severity: Finding.Severity
    window: timedelta
    threshold: int

    def occasions(self, at: datetime) -> Iterator[Occasion]:
        if _among(at - self.window, at, most=1):
            return
        before = at - _WEEK
        usual = _among(before - self.window, before, most=self.threshold)
        if usual < self.threshold:
            return
        last = Event.objects.exclude(actor_type="system").order_by("-id").first()
        yield Occasion(self.kind, self.severity, first=str(last.pk if last else 0))


def _among(start: datetime, end: datetime, *, most: int) -> int:
    """Return how many acts of people and terminals a span has, as far as `most`."""
    events = Event.objects.filter(at_us__gt=micros(start), at_us__lte=micros(end))
    acts = events.exclude(actor_type="system").order_by()
    return len(acts.values_list("id", flat=True)[:most])
