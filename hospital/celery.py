"""The worker's application. What is due is in the database; the broker only wakes."""

import os
from typing import Any

from celery import Celery, Task
from celery.exceptions import Ignore
from celery.signals import (
    beat_embedded_init,
    beat_init,
    before_task_publish,
    setup_logging,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
)
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from hospital import figures, reconnecting, tracing
from hospital.checks import refuse_unfit
from hospital.patience import Patience
from hospital.watchdog import Watchdog

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hospital.settings")

patience = Patience()


class Gated(Task[..., Any]):
    """No task does anything on a database from a backup, as no page is served from one."""

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        with patience.asking():
            return super().apply_async(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from hospital.audit import aborting  # noqa: PLC0415 (knows models)
        from hospital.privacy.erasing import standing  # noqa: PLC0415 (knows models)

        # What is due stays due, and is woken again.
        if refusal := standing.refusal():
            raise Ignore(str(refusal))
        request_id = str(self.request.get(tracing.HEADER) or "")
        ids = {name: str(value) for name, value in kwargs.items() if name.endswith("_id")}
        with tracing.carried_on(request_id, **ids), aborting.told(self.name):
            return super().__call__(*args, **kwargs)


app = Celery("hospital", task_cls=Gated, amqp=reconnecting.AMQP)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(Watchdog)

_inherited: list[Any] = []


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
    from hospital.starting import (  # noqa: PLC0415 (knows models)
        refuse_unreplayed,
        refuse_without_keys,
    )

    try:
        refuse_without_keys()
        refuse_unreplayed()
    except ImproperlyConfigured as exc:
        raise SystemExit(str(exc)) from None


@worker_init.connect
@beat_init.connect
def _patient(**_kwargs: Any) -> None:
    """A request waits for a broker half a second, and who works for it somewhat longer."""
    app.conf.broker_connection_timeout = settings.BROKER_PATIENCE
    app.conf.broker_transport_options = settings.PATIENT_TRANSPORT_OPTIONS


@worker_process_init.connect
@beat_embedded_init.connect
def _own_connections(**_kwargs: Any) -> None:
    """A pool's threads are not forked along: who asked it for a connection would wait for ever."""
    for one in connections.all(initialized_only=True):
        pools = getattr(type(one), "_connection_pools", {})
        _inherited.append(dict(pools))  # kept: what is thrown away hangs up on the parent's lines
        pools.clear()


@before_task_publish.connect
def _name_the_request(headers: dict[str, Any], **_kwargs: Any) -> None:
    """What a request has done elsewhere goes by its id; it is beside the arguments, not in them."""
    if request_id := tracing.current().request_id:
        headers[tracing.HEADER] = request_id


@worker_init.connect
@worker_process_init.connect
def _count_for_others(**_kwargs: Any) -> None:
    figures.begin()


@worker_shutdown.connect
@worker_process_shutdown.connect
def _count_the_last(**_kwargs: Any) -> None:
    figures.end()


@setup_logging.connect
def _keep_ours(**_kwargs: Any) -> None:
    """Celery would replace the logging that Django has set up, redaction included."""
