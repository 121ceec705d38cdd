from collections.abc import Iterable
from uuid import UUID

import structlog
from celery import shared_task
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from hospital.audit import alarms, analysis, flood, holding, nightly, proposing
from hospital.audit.exporting import making, requests
from hospital.audit.proposals import Proposal

SUNDAY = 7
HOURS = 3_600  # seconds
SWEPT = 60  # seconds: by then the next sweep has said it again
SAID_AGAIN = 30 * 24 * HOURS

logger = structlog.get_logger(__name__)


# It takes longer than a broker waits for an answer, and must not be begun again meanwhile.
@shared_task(acks_late=False)
def verify_nightly() -> None:
    now = timezone.now()
    nightly.verify(at=now, is_full=timezone.localtime(now).isoweekday() == SUNDAY)


@shared_task
def watch() -> None:
    alarms.watch(at=timezone.now())
    flood.flush(at=timezone.now())


# So does the first week of a busy trail.
@shared_task(acks_late=False)
def analyse() -> None:
    analysis.make_due(at=timezone.now())


# Verifying archives takes minutes; what is lost with a worker the next turn does.
@shared_task(acks_late=False)
def attend_to_proposals() -> None:
    """Close what came to nothing, and do what was approved where no other account has to."""
    now, hold = timezone.now(), holding.hold(settings.VAR_DIR, of="keeping")
    if not hold.take():
        return
    try:
        proposing.expire(at=now)
        proposing.carry_out_approved(at=now)
        _name(proposing.left(at=now))
    finally:
        hold.release()


def _name(left: Iterable[Proposal]) -> None:
    """Say once of each what `pruneaudit` has to do, and not every minute."""
    for proposal in left:
        if cache.add(f"proposal-left:{proposal.pk}", 1, SAID_AGAIN):
            logger.warning("proposal.left", proposal=str(proposal.pk), kind=proposal.kind)


# As long as it takes; a worker that is gone is noticed by its lease, not by the broker.
@shared_task(acks_late=False, throws=(making.LeaseLost,))
def export(*, export_id: str) -> None:
    making.make(UUID(export_id), clock=timezone.now)


@shared_task
def sweep_exports() -> None:
    """What the broker forgot, what a worker left lying, and what nobody fetched."""
    now = timezone.now()
    for pk in making.due(now).values_list("pk", flat=True):
        export.apply_async(kwargs={"export_id": str(pk)}, expires=SWEPT)
    requests.expire(at=now)
