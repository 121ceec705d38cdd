"""
A flood must neither fill the trail nor hide in it.

Anybody can be turned away a thousand times a minute. Of each source a bounded number is recorded
per window, and the next record says how many were not; where none follows, one is made that does.
"""

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.apps import apps
from django.core.cache import cache
from django.db import models, transaction

from hospital import tracing
from hospital.audit.actions import BY_TAG, Action
from hospital.audit.recording import Actor, HasActor, Outcome, record
from hospital.errors import TrailUnavailable

WINDOW = 60  # seconds
RECORDED = 60  # events per source and window
REMEMBERED = 86_400  # seconds an uncounted burst waits to be stated
SLOTS: Final = 256  # sources at once whose burst may end without another event
_TRIED: Final = 16  # of them, for one source


@dataclass(frozen=True)
class _Waiting:
    """Of what is to be said how often it went unrecorded; as a cache can keep it."""

    source: str
    window: int
    tag: str
    outcome: Outcome
    actor: Actor
    object_type: str
    object_id: str
    facts: dict[str, Any]
    trace: tracing.Trace  # of the first

    @classmethod
    def of(
        cls,
        source: str,
        window: int,
        action: Action,
        *,
        by: HasActor | Actor,
        on: models.Model | None,
        outcome: Outcome,
        facts: dict[str, Any],
    ) -> "_Waiting":
        return cls(
            source=source,
            window=window,
            tag=action.value.tag,
            outcome=outcome,
            actor=by if isinstance(by, Actor) else by.actor,
            object_type=on._meta.label_lower if on else "",
            object_id=str(on.pk) if on else "",
            facts=facts,
            trace=tracing.current(),
        )


def admit(
    source: str,
    action: Action,
    *,
    by: HasActor | Actor,
    on: models.Model | None = None,
    outcome: Outcome = "denied",
    **facts: object,
) -> int | None:
    """
    Return how many events of `source` went unrecorded before this one; None to skip this one.

    :param source: who and what, such as an address and a code; never a person's data
    :param facts: what holds for all of them
    """
    # The window is in the name: some caches forget when an entry they count in was to expire.
    window = _now()
    name = _window(source, window)
    suppressed = _suppressed(source)
    cache.add(name, 0, 2 * WINDOW)
    missed: int = cache.get(suppressed, 0)
    if _count(name) > RECORDED:
        cache.set(suppressed, missed + 1, REMEMBERED)
        if not missed:
            _keep(_Waiting.of(source, window, action, by=by, on=on, outcome=outcome, facts=facts))
        return None
    if missed:
        cache.delete(suppressed)
    return missed


def flush(*, at: datetime) -> None:
    """
    State of each flood that is over, and that no event followed, how many went unrecorded.

    :raises TrailUnavailable: and the rest waits for another time
    """
    for slot, waiting in _over():
        if not cache.delete(slot):  # another worker is at it
            continue
        missed = cache.get(_suppressed(waiting.source), 0)
        if not missed or cache.get(_window(waiting.source, _now())):  # an event has said so since
            continue
        try:
            _state(waiting, missed, at=at)
        except TrailUnavailable:
            cache.add(slot, waiting, REMEMBERED)
            raise
        cache.delete(_suppressed(waiting.source))


def _keep(waiting: _Waiting) -> None:
    """Where there is no room the count waits for the next event, as it did anyway."""
    first = zlib.crc32(waiting.source.encode())
    for slot in range(first, first + _TRIED):
        if cache.add(_slot(slot % SLOTS), waiting, REMEMBERED):
            return


def _over() -> Iterator[tuple[str, _Waiting]]:
    now = _now()
    found: dict[str, _Waiting] = cache.get_many([_slot(number) for number in range(SLOTS)])
    return ((slot, one) for slot, one in found.items() if one.window < now)


def _state(waiting: _Waiting, missed: int, *, at: datetime) -> None:
    on = None
    if waiting.object_type:
        on = apps.get_model(waiting.object_type)(pk=waiting.object_id)
    with tracing.resumed(waiting.trace), transaction.atomic():
        record(
            BY_TAG[waiting.tag],
            by=waiting.actor,
            on=on,
            at=at,
            outcome=waiting.outcome,
            suppressed=missed,
            **waiting.facts,
        )


def _now() -> int:
    return int(time.time()) // WINDOW


def _window(source: str, window: int) -> str:
    return f"flood:{source}:{window}"


def _slot(number: int) -> str:
    return f"flood:slot:{number}"


def _suppressed(source: str) -> str:
    return f"flood:{source}:suppressed"


def _count(name: str) -> int:
    try:
        return int(cache.incr(name))
    except ValueError:  # it expired in between
        return 1
