"""A small table of numbers that two people decided on, as a process remembers it for a moment."""

import time
from collections.abc import Callable
from typing import Final

from django.apps import apps

REMEMBERED: Final = 5.0  # seconds a process keeps what was read


class Remembered:
    """
    What the rows of a model say: a key and a number each, read anew every few seconds.

    :param model: `app.Model`; looked up when it is first asked
    """

    def __init__(self, model: str, *, key: str) -> None:
        self._model, self._key = model, key
        self._read_at = float("-inf")
        self._rows: dict[str, int] = {}

    def get(self, key: str) -> int | None:
        now = time.monotonic()
        if now - self._read_at > REMEMBERED:
            # Another one, at once: threads that answer others read the old one to its end.
            self._rows = self._read()
            self._read_at = now
        return self._rows.get(key)

    def forget(self) -> None:
        """Read it anew: something was just decided."""
        self._read_at = float("-inf")

    def beyond(self, allows: Callable[[str, int], bool]) -> dict[str, int]:
        """Return what is there and not allowed: written past the pages, and not in force."""
        return {key: value for key, value in self._read().items() if not allows(key, value)}

    def _read(self) -> dict[str, int]:
        rows = apps.get_model(self._model).objects.values_list(self._key, "value")
        return dict(rows)
