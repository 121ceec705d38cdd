from celery import shared_task
from django.conf import settings
from django.utils import timezone

from hospital.his import client, sending


@shared_task
def send_due() -> None:
    """What is owed to the hospital's own system: fresh, postponed, or left by a dead worker."""
    sending.send_due(
        connect=lambda: client.connected(
            settings.HIS_FHIR_URL, token=settings.HIS_TOKEN, ca_file=settings.HIS_CA_FILE
        ),
        clock=timezone.now,
    )
