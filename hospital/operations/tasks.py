from celery import shared_task
from django.utils import timezone

from hospital.operations import life


@shared_task
def note_life() -> None:
    life.note(timezone.now())
