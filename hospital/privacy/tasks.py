from contextlib import suppress
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from hospital.privacy import assessing, holding, rights, rules, scale, sweeping
from hospital.privacy.erasing import running, standing, verifying
from hospital.privacy.incidents import affected, notifying

MINUTE = 60  # seconds
HOURS = 3_600


# As long as it takes; a worker that is gone is noticed by its lease, not by the broker.
@shared_task(acks_late=False, throws=(sweeping.LeaseLost,))
def sweep_retention() -> None:
    holding.end_past(at=timezone.now())
    with suppress(sweeping.Busy):
        sweeping.sweep(clock=timezone.now)


@shared_task(acks_late=False, throws=(sweeping.LeaseLost,))
def sweep_artefacts() -> None:
    if sweeping.is_anything_due(sweeping.Scope.ARTEFACTS, at=timezone.now()):
        with suppress(sweeping.Busy):
            sweeping.sweep(clock=timezone.now, scope=sweeping.Scope.ARTEFACTS)


@shared_task
def look_over_retention() -> None:
    rules.look_over(at=timezone.now())


@shared_task
def attend_to_incidents() -> None:
    """Warn of what is late, and have found what was asked and nobody is at work on."""
    now = timezone.now()
    notifying.warn_of_overdue(at=now)
    for pk in affected.due(at=now):
        find_affected.apply_async(kwargs={"inquiry_id": str(pk)}, expires=MINUTE)


# As long as it takes, like a sweep.
@shared_task(acks_late=False)
def find_affected(*, inquiry_id: str) -> None:
    affected.find(UUID(inquiry_id), clock=timezone.now)


@shared_task
def attend_to_assessments() -> None:
    assessing.end_due(at=timezone.now())


@shared_task
def count_people() -> None:
    scale.count(at=timezone.now())


@shared_task
def attend_to_rights() -> None:
    rights.raise_late(at=timezone.now())


@shared_task(throws=(standing.Unreplayed, verifying.NotVerified))
def erase() -> None:
    """Each by itself, so that one that cannot go on keeps no other; they end together."""
    now = timezone.now()
    for pk in running.due(at=now):
        take_steps.apply_async(kwargs={"erasure_id": str(pk)}, expires=HOURS)
    running.conclude_due(at=now)


@shared_task(throws=(standing.Unreplayed,))
def take_steps(*, erasure_id: str) -> None:
    running.advance(UUID(erasure_id), at=timezone.now())
