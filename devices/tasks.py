from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from devices import presence
from devices.models import StoredAnswer

KEPT = timedelta(hours=24)


@shared_task
def forget_answers() -> None:
    StoredAnswer.objects.older_than(timezone.now() - KEPT).delete()


@shared_task
def note_silence() -> None:
    presence.note_silence(at=timezone.now())
