"""
A worker that began anew says so in the trail afterwards: to mend it no database may be needed.

What there is to say passes from the program to the one that takes its place by its environment.
"""

import json
import os
from datetime import datetime
from typing import Final

from hospital.errors import TrailUnavailable

_NAME: Final = "WATCHDOG_BEGAN_ANEW"


def leave_word(*, at: datetime, seconds: float, count: int) -> None:
    """:param count: messages, or rows, that waited for so many seconds"""
    os.environ[_NAME] = json.dumps({"at": at.isoformat(), "seconds": int(seconds), "count": count})


def tell() -> None:
    """Record what was left to say; what the trail cannot take now is told another time."""
    from hospital.audit.actions import Action  # noqa: PLC0415 (knows models)
    from hospital.audit.recording import SYSTEM, record_alone  # noqa: PLC0415 (knows models)

    if _NAME not in os.environ:
        return
    facts = json.loads(os.environ[_NAME])
    at = datetime.fromisoformat(facts.pop("at"))
    try:
        record_alone(Action.WORKER_RESTART, by=SYSTEM, on=None, at=at, **facts)
    except TrailUnavailable:  # which has said so in the log
        return
    del os.environ[_NAME]
