"""A broker that hangs costs whoever asks it first some of their time, and those after them none."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from kombu.exceptions import KombuError, OperationalError

SLOW: Final = 0.2  # seconds; a broker that says no says so sooner
REST: Final = 2.0  # seconds for which nobody asks one that hung


class Patience:
    """Of one process with its broker."""

    asked_again_at = 0.0  # time.monotonic()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """:raises OperationalError: it hung a moment ago, or does now"""
        began = time.monotonic()
        if began < self.asked_again_at:
            raise OperationalError("the broker hung a moment ago")
        try:
            yield
        except (KombuError, OSError):
            if time.monotonic() - began > SLOW:
                self.asked_again_at = time.monotonic() + REST
            raise
