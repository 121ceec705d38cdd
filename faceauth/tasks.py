from uuid import UUID

from celery import shared_task
from django.utils import timezone

from faceauth import connection, expiry, onboarding
from faceauth.models import FaceSession

WOKEN = 200  # sessions a sweep


@shared_task
def onboard(*, session_id: str) -> None:
    onboarding.onboard(UUID(session_id), client_for=connection.identity_client, clock=timezone.now)


@shared_task
def wake_due() -> None:
    """What the broker forgot, and what waited for its next attempt."""
    due = FaceSession.objects.due(timezone.now()).values_list("pk", flat=True)[:WOKEN]
    for pk in due:
        onboard.delay(session_id=str(pk))


@shared_task
def expire() -> None:
    expiry.expire(at=timezone.now())
