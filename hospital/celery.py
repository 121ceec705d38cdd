"""The worker's application. What is due is in the database; the broker only wakes."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_init, setup_logging, worker_init
from django.core.exceptions import ImproperlyConfigured

from hospital.checks import refuse_unfit

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hospital.settings")

app = Celery("hospital")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_init.connect
@beat_init.connect
def _fit_to_work(**_kwargs: Any) -> None:
    from hospital.starting import refuse_beyond_lines  # noqa: PLC0415 (knows models)

    # A signal swallows exceptions, and the worker would start all the same.
    try:
        refuse_unfit()
        refuse_beyond_lines()
    except ImproperlyConfigured as exc:
        raise SystemExit(str(exc)) from None


@worker_init.connect
def _able_to_seal(**_kwargs: Any) -> None:
    from hospital.starting import refuse_without_keys  # noqa: PLC0415 (knows models)

    try:
        refuse_without_keys()
    except ImproperlyConfigured as exc:
        raise SystemExit(str(exc)) from None


@setup_logging.connect
def _keep_ours(**_kwargs: Any) -> None:
    """Celery would replace the logging that Django has set up, redaction included."""
