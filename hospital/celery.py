"""The worker's application. What is due is in the database; the broker only wakes."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hospital.settings")

app = Celery("hospital")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _keep_ours(**_kwargs: Any) -> None:
    """Celery would replace the logging that Django has set up, redaction included."""
