"""How the log stands: what waits, how far it is signed, cosigned, anchored and verified."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Max

from hospital.audit import cosigning, trail
from hospital.audit.actions import Action
from hospital.audit.checkpoint import Verifier
from hospital.audit.log import Anchor, Checkpoint, Leaf, Pending
from hospital.audit.models import Event
from hospital.audit.reading import encoded, octets
from hospital.audit.recording import mac
from hospital.audit.stated import facts, number
from hospital.audit.times import EPOCH, micros, moment

LATE: Final = timedelta(seconds=60)  # an event that old has its place and is signed
UNVERIFIED: Final = timedelta(hours=48)  # since the last verification
WITNESS: Final = "witness"  # the sink of an anchor that is a cosignature

AHEAD: Final = timedelta(days=1)  # what says that it is later than that is forged
COUNTED: Final = 10_000  # pending events; of more it is said that there are more

_OLDEST: Final = 100  # pending events by id, one of which is the oldest by its time as well


@dataclass(frozen=True)
class Verification:
    """What the last verification said; `findings` is how much it found."""

    at: datetime
    is_intact: bool
    is_full: bool
    is_anchored: bool
    findings: int


@dataclass(frozen=True)
class Standing:
    """
    The log at one moment, from the tables alone. Times are seconds, sizes are numbers of events.

    :param pending: events without a place in the log
    :param lag_seconds: how long the oldest event waits for a signature; 0 if none does
    :param size: of the last checkpoint
    :param signed_at: when it was signed
    :param witnessed: how far a witness has cosigned
    :param unwitnessed_seconds: how long the oldest checkpoint after that waits; 0 without a witness
    :param anchored: where a checkpoint went → how long ago the last one did
    :param verified: the last verification
    :param is_unverified: that is too long ago, or there was none in a log older than that
    """

    at: datetime
    pending: int
    lag_seconds: float
    size: int
    signed_at: datetime | None
    has_witness: bool
    witnessed: int
    unwitnessed_seconds: float
    anchored: dict[str, float]
    verified: Verification | None
    is_unverified: bool

    @property
    def verified_at(self) -> datetime | None:
        return self.verified.at if self.verified else None

    @property
    def is_intact(self) -> bool | None:
        """Whether the last verification found nothing; None if there was none."""
        return self.verified.is_intact if self.verified else None

    @property
    def signed_seconds(self) -> float | None:
        """How long ago the last checkpoint was signed; an idle log signs nothing."""
        return _seconds(self.at - self.signed_at) if self.signed_at else None

    @property
    def is_late(self) -> bool:
        return self.lag_seconds > LATE.total_seconds()


def standing(at: datetime) -> Standing:
    """
    Return how the log stands at `at`, by a few small queries.

    :raises NotConfigured: `TRAIL_VERIFIERS` holds what is no public key
    """
    checkpoints = Checkpoint.objects.filter(created_at__range=(EPOCH, at + AHEAD))
    last = checkpoints.order_by("-size").first()
    witnesses = [one for one in trail.verifiers() if one.is_witness]
    size = last.size if last else 0
    known = witnessed(witnesses)
    seen = verified(at)
    waiting = checkpoints.filter(size__gt=known).order_by("size").first()
    return Standing(
        at=at,
        pending=Pending.objects.all()[: COUNTED + 1].count(),
        lag_seconds=lag(at, size=size),
        size=size,
        signed_at=last.created_at if last else None,
        has_witness=bool(witnesses),
        witnessed=known,
        unwitnessed_seconds=_seconds(at - waiting.created_at) if witnesses and waiting else 0.0,
        anchored=_anchored(at),
        verified=seen,
        is_unverified=is_unverified(at, seen),
    )


def reached() -> tuple[int, int]:
    """
    Return how far the log is signed, and how far cosigned.

    :raises NotConfigured: `TRAIL_VERIFIERS` holds what is no public key
    """
    size = Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0
    return size, witnessed([one for one in trail.verifiers() if one.is_witness])


def lag(at: datetime, *, size: int) -> float:
    """Return how many seconds the oldest event waits that the checkpoint over `size` lacks."""
    queued = Pending.objects.order_by("event_id").values_list("event_id", flat=True)[:_OLDEST]
    unsigned = Leaf.objects.filter(index__gte=size).order_by("index")
    waiting = [*queued, *unsigned.values_list("event_id", flat=True)[:1]]
    times = Event.objects.filter(pk__in=waiting, at_us__isnull=False).values_list(
        "at_us", flat=True
    )
    return max((_seconds(at - moment(one)) for one in times), default=0.0)


def verified(at: datetime) -> Verification | None:
    """Return what the last verification said; what somebody forged says nothing."""
    runs = Event.objects.filter(action=Action.AUDIT_VERIFY.value.tag, at_us__lte=micros(at + AHEAD))
    newest = runs.order_by("-at_us", "-id")[:_OLDEST]
    last = next((one for one in newest if _is_ours(one)), None)
    if last is None:
        return None
    told = facts(last.payload)
    return Verification(
        at=moment(last.at_us),
        is_intact=last.outcome == "success",
        is_full=bool(told.get("is_full")),
        is_anchored=bool(told.get("is_anchored")),
        findings=number(told.get("findings")),
    )


def witnessed(witnesses: list[Verifier]) -> int:
    """Return the largest size one of these has cosigned; 0 if none ever has."""
    if not witnesses:
        late = Anchor.objects.filter(sink=WITNESS).aggregate(size=Max("size"))["size"]
        return int(late or 0)
    return cosigning.last_late(witnesses, after=cosigning.last(witnesses))


def is_unverified(at: datetime, last: Verification | None) -> bool:
    """Return whether the log is old enough to have been verified lately, and was not."""
    since = last.at if last else _began(at)
    return since is not None and at - since > UNVERIFIED


def _is_ours(event: Event) -> bool:
    return hmac.compare_digest(mac(encoded(event.payload)), octets(event.mac))


def _anchored(at: datetime) -> dict[str, float]:
    told = Anchor.objects.filter(at__range=(EPOCH, at + AHEAD)).order_by()
    rows = told.values_list("sink").annotate(last=Max("at"))
    return {sink: _seconds(at - last) for sink, last in rows}


def _began(at: datetime) -> datetime | None:
    times = (EPOCH, at + AHEAD)
    first = Checkpoint.objects.filter(created_at__range=times).order_by("size").first()
    return first.created_at if first else None


def _seconds(span: timedelta) -> float:
    return max(0.0, span.total_seconds())
