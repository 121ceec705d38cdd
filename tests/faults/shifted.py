"""
The worker's application, for `celery -A`, and the web's, on a machine whose clock is off.

By as many seconds as the file SHIFT_FILE says, whenever it is looked at. There is one place the
project reads the clock for what it writes down; no clock of this machine is touched.
"""

import os
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

_FILE = Path(os.environ["SHIFT_FILE"])
_now = timezone.now


def _shifted():
    return _now() + timedelta(seconds=float(_FILE.read_text()))


timezone.now = _shifted

from hospital.celery import app  # noqa: E402
from hospital.wsgi import application  # noqa: E402

__all__ = ["app", "application"]
