"""The web's application, for granian, that logs how long each request waited for the broker."""

import time

import structlog

from hospital.wsgi import application

from hospital.celery import Gated  # isort: skip (wsgi sets Django up)

__all__ = ["application"]

_send = Gated.apply_async
_log = structlog.get_logger("tests.faults.timed")


def _timed(self, *args, **kwargs):
    began = time.monotonic()
    try:
        return _send(self, *args, **kwargs)
    finally:
        _log.warning("asked the broker", ms=round((time.monotonic() - began) * 1000))


Gated.apply_async = _timed
