from celery import shared_task
from django.utils import timezone

from devices import presence


@shared_task
def note_silence() -> None:
    presence.note_silence(at=timezone.now())
