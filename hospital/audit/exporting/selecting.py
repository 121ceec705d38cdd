"""
What is to be copied: a stretch of the log, or the events that answer to certain values.

A stretch can be shown to be complete. What was picked by values can only be shown to be genuine:
nobody can tell from the copy what else answers to them.
"""

import datetime as dt
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, fields
from typing import Any, Final, Self

from django.db.models import Max

from hospital.audit.log import Checkpoint, Leaf
from hospital.audit.models import Event
from hospital.audit.times import EPOCH, LATEST, micros, moment
from hospital.errors import Refusal

# An event is dated so much before or after the checkpoints around it, or `verifyaudit` says so.
SKEW: Final = dt.timedelta(seconds=300)


class NotSealed(Refusal):
    code = "not_sealed"
    message = "所选区间里没有已签名的留痕：新的留痕一秒后才有检查点，请稍后再试"


class NothingChosen(Refusal):
    code = "nothing_chosen"
    message = "请至少填写一个条件"


class Backwards(Refusal):
    code = "backwards"
    message = "起始序号不能大于终止序号"


class TimeBackwards(Backwards):
    message = "开始时间须早于结束时间"


@dataclass(frozen=True)
class Range:
    """The leaves from `start` to before `end`, all of them."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise Backwards
        if self.start < 0:
            raise NotSealed

    @classmethod
    def between(cls, begin: dt.datetime | None, end: dt.datetime | None) -> Self:
        """
        Return the leaves among which all events from `begin` to `end` are, and a few beside.

        :raises NotSealed: there are none
        :raises TimeBackwards:
        """
        _refuse_backwards(begin, end)
        size = signed()
        if end and _began() > end + SKEW:
            raise NotSealed
        start, stop = 0, size
        if begin:
            after = bisect_left(range(size + 1), begin - SKEW, key=_sealed_at)
            start = max(0, after - 1)
        if end:
            after = bisect_right(range(size + 1), end + SKEW, key=_sealed_at)
            stop = _covering(after).size if after <= size else size
        if start >= stop:
            raise NotSealed
        return cls(start, stop)


@dataclass(frozen=True)
class Filters:
    """Values an event has to have, whole. Empty: any."""

    begin: dt.datetime | None = None
    end: dt.datetime | None = None  # not included
    action: str = ""
    actor: str = ""
    object_type: str = ""
    object_id: str = ""
    outcome: str = ""
    request: str = ""

    def __post_init__(self) -> None:
        if not self.stated:
            raise NothingChosen
        _refuse_backwards(self.begin, self.end)

    @property
    def stated(self) -> dict[str, str]:
        """What was asked for, by name, as it is kept."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: value.isoformat() if isinstance(value, dt.datetime) else value
            for name, value in given.items()
            if value
        }

    @classmethod
    def of(cls, stated: dict[str, Any]) -> Self:
        """Return what `stated` was made of."""
        moments: dict[str, Any] = {
            name: dt.datetime.fromisoformat(stated[name])
            for name in ("begin", "end")
            if name in stated
        }
        return cls(**{**stated, **moments})

    def condition(self) -> tuple[str, list[Any]]:
        """Return it in SQL over `audit_event e`, with its parameters."""
        parts, values = [], list[Any]()
        for column, sign, value in (
            ("at_us", ">=", self.begin and micros(self.begin)),
            ("at_us", "<", self.end and micros(self.end)),
            ("action", "=", self.action),
            ("actor_id", "=", self.actor),
            ("object_type", "=", self.object_type),
            ("object_id", "=", self.object_id),
            ("outcome", "=", self.outcome),
            ("request_id", "=", self.request),
        ):
            if value:
                parts.append(f"e.{column} {sign} %s")
                values.append(value)
        return " AND ".join(parts), values


Selection = Range | Filters


def signed() -> int:
    """Return how many events the last checkpoint covers."""
    return int(Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0)


def _refuse_backwards(begin: dt.datetime | None, end: dt.datetime | None) -> None:
    if begin and end and begin >= end:
        raise TimeBackwards


def _began() -> dt.datetime:
    """Return when the first event happened, as far as it says; the dawn of time if it does not."""
    first = Leaf.objects.filter(index=0).values("event_id")
    at = Event.objects.filter(pk__in=first).values_list("at_us", flat=True).first()
    return moment(at) if isinstance(at, int) and at < LATEST else EPOCH


def _covering(size: int) -> Checkpoint:
    """Return the first checkpoint over at least so many events."""
    found: Checkpoint = Checkpoint.objects.filter(size__gte=size).order_by("size")[0]
    return found


def _sealed_at(size: int) -> dt.datetime:
    return _covering(size).created_at
