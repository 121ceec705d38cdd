from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from devices.models import StoredAnswer

KEPT = timedelta(hours=24)


@shared_task
def forget_answers() -> None:
    StoredAnswer.objects.older_than(timezone.now() - KEPT).delete()
