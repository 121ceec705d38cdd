"""
A worker whose broker was away is back within seconds of it.

Celery would wait longer before each try, half a minute at most, and after a hundred tries end.
"""

from typing import Any, Final, Self

from celery.app import amqp
from kombu import Connection

from hospital.leaderless import Taker

FIRST: Final = 0.5  # seconds before the second try
LONGEST: Final = 2.0  # seconds between two, however many


class PromptConnection(Connection):
    def ensure_connection(self, *args: Any, **options: Any) -> Self:
        pauses = {"interval_start": FIRST, "interval_step": FIRST, "interval_max": LONGEST}
        super().ensure_connection(*args, **{**pauses, **options})
        return self


class AMQP(amqp.AMQP):
    """For `Celery(amqp=…)`."""

    Connection = PromptConnection
    Consumer = Taker
