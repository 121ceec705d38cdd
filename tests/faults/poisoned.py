"""
The worker's application, for `celery -A`, in which some sessions kill whoever works on them.

The file named by POISON lists them. What a broken library does in C, no exception handler sees.
"""

import os
import signal
from pathlib import Path

import django

django.setup()

from faceauth import onboarding  # noqa: E402
from hospital.celery import app  # noqa: E402

__all__ = ["app"]

POISON = Path(os.environ["POISON"])
_register = onboarding._register


def _dying(session, **how):
    if str(session.pk) in POISON.read_text():
        os.kill(os.getpid(), signal.SIGKILL)
    _register(session, **how)


onboarding._register = _dying
