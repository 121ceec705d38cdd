"""
Finding events: by whole values, newest first, a page at a time.

Nothing is counted and nothing skipped: a page begins where the one beside it ended, so that the
last one of five million rows takes as long as the first.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final, Self

from django.db import OperationalError, connection, transaction
from django.db.models import Q

from hospital.audit.log import Leaf
from hospital.audit.models import Event, EventQuerySet
from hospital.audit.times import micros

SIZE: Final = 50  # events on a page
PATIENCE: Final = 5_000  # milliseconds a question may take (PostgreSQL)

_CANCELED: Final = "57014"  # query_canceled, PostgreSQL Appendix A
_PLACE: Final = re.compile(r"(-?[0-9]{1,19})\.(-?[0-9]{1,19})", re.ASCII)
_LARGEST: Final = 2**63 - 1  # a column holds no more


class TooSlow(Exception):
    """The question would take longer than somebody should wait."""


@dataclass(frozen=True)
class Criteria:
    """What to look for: all of it, each as a whole value. Empty: whatever it is."""

    since: datetime | None = None
    until: datetime | None = None  # exclusive
    action: str = ""
    outcome: str = ""
    actor: str = ""
    object_type: str = ""
    object_id: str = ""
    request: str = ""
    index: int | None = None  # of the leaf

    @property
    def named(self) -> list[str]:
        """What is asked for, without the values."""
        return [one.name for one in fields(self) if getattr(self, one.name) not in ("", None)]


@dataclass(frozen=True)
class Place:
    """Between two events of the list."""

    at_us: int
    id: int

    def __str__(self) -> str:
        return f"{self.at_us}.{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the place a text names; None if it names none."""
        found = _PLACE.fullmatch(text)
        at_us, id_ = map(int, found.groups()) if found else (_LARGEST + 1, 0)
        return cls(at_us, id_) if max(abs(at_us), abs(id_)) <= _LARGEST else None


@dataclass(frozen=True)
class Page:
    """Some of what was found, newest first; and where what is older, or newer, begins."""

    events: list[Event]
    older: Place | None = None
    newer: Place | None = None


def page(criteria: Criteria, *, before: Place | None = None, after: Place | None = None) -> Page:
    """
    Return the events next to a place, or the newest.

    :param before: what is older than this
    :param after: what is newer than this, the nearest of it
    :raises TooSlow:
    :raises RuntimeError: within somebody's transaction, whose statements would be ended as well
    """
    found = _matching(criteria)
    with _patience():
        if after:
            rows = list(found.filter(_beyond(after)).order_by("at_us", "id")[: SIZE + 1])
            events = rows[SIZE - 1 :: -1] if len(rows) > SIZE else rows[::-1]
            return Page(events, older=_place(events, -1), newer=_more(rows, events, 0))
        if before:
            found = found.filter(_below(before))
        rows = list(found.order_by("-at_us", "-id")[: SIZE + 1])
    events = rows[:SIZE]
    return Page(events, older=_more(rows, events, -1), newer=_place(events, 0) if before else None)


def _matching(criteria: Criteria) -> EventQuerySet:
    # What was redacted states no time: it is found by its index.
    events = Event.objects.defer("payload", "mac")
    if criteria.index is None:
        events = events.filter(at_us__isnull=False)
    else:
        leaf = Leaf.objects.filter(index=criteria.index)
        events = events.filter(pk__in=leaf.values("event_id"))
    wanted = {
        "action": criteria.action,
        "outcome": criteria.outcome,
        "actor_id": criteria.actor,
        "object_type": criteria.object_type,
        "object_id": criteria.object_id,
        "request_id": criteria.request,
    }
    events = events.filter(**{column: value for column, value in wanted.items() if value})
    if criteria.since:
        events = events.filter(at_us__gte=micros(criteria.since))
    if criteria.until:
        events = events.filter(at_us__lt=micros(criteria.until))
    return events


# Said twice, so that an index on the time can be entered at the place.


def _below(place: Place) -> Q:
    return Q(at_us__lte=place.at_us) & (Q(at_us__lt=place.at_us) | Q(id__lt=place.id))


def _beyond(place: Place) -> Q:
    return Q(at_us__gte=place.at_us) & (Q(at_us__gt=place.at_us) | Q(id__gt=place.id))


def _more(rows: list[Event], events: list[Event], end: int) -> Place | None:
    return _place(events, end) if len(rows) > len(events) else None


def _place(events: list[Event], end: int) -> Place | None:
    if not events or events[end].at_us is None:
        return None
    return Place(events[end].at_us, events[end].pk)


@contextmanager
def _patience() -> Iterator[None]:
    try:
        with transaction.atomic(durable=True):
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL statement_timeout = {PATIENCE}")
            yield
    except OperationalError as exc:
        if getattr(exc.__cause__, "sqlstate", "") == _CANCELED:
            raise TooSlow from None
        raise
