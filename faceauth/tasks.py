from uuid import UUID

from celery import shared_task
from django.utils import timezone

from faceauth import connection, expiry, fetching, merchant_certificates, onboarding
from faceauth.models import FaceSession

WOKEN = 200  # sessions a sweep
EXPIRES = 10  # seconds: by then the next sweep has said it again


@shared_task
def onboard(*, session_id: str) -> None:
    onboarding.onboard(UUID(session_id), client_for=connection.identity_client, clock=timezone.now)


@shared_task
def fetch_authinfo(*, terminal_id: str, flight: str) -> None:
    fetching.fetch(
        UUID(terminal_id),
        UUID(flight),
        client_for=connection.authinfo_client,
        clock=timezone.now,
    )


@shared_task
def wake_due() -> None:
    """What the broker forgot, and what waited for its next attempt."""
    now = timezone.now()
    FaceSession.objects.astray(now).update(due_at=now)
    due = FaceSession.objects.due(now).order_by("due_at")  # who waits longest first
    for pk in due.values_list("pk", flat=True)[:WOKEN]:
        onboard.apply_async(kwargs={"session_id": str(pk)}, expires=EXPIRES)


@shared_task
def expire() -> None:
    expiry.expire(at=timezone.now())


@shared_task
def warn_of_expiry() -> None:
    merchant_certificates.warn(at=timezone.now())
