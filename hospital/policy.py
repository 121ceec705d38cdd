"""
What a parameter of the security policy is right now.

The security administrator's choice, else the environment's, else the default; never beyond its
line (`hospital.parameters`), wherever it comes from.
"""

import time
from typing import Final

from django.apps import apps
from django.conf import settings

from hospital.parameters import BY_KEY

REMEMBERED: Final = 5.0  # seconds a process keeps what was chosen

_chosen: dict[str, int] = {}
_read_at = float("-inf")


def value(key: str) -> int:
    """:raises KeyError: there is no such parameter"""
    parameter = BY_KEY[key]
    chosen = _choices().get(key)
    if chosen is not None and parameter.allows(chosen):  # whoever wrote the row, and however
        return chosen
    given: int = settings.POLICY[key]
    return given


def forget() -> None:
    """Read the choices anew: one was just made."""
    global _read_at  # noqa: PLW0603 (one memory per process)
    _read_at = float("-inf")


def _choices() -> dict[str, int]:
    global _read_at  # noqa: PLW0603 (one memory per process)
    if time.monotonic() - _read_at > REMEMBERED:
        rows = apps.get_model("accounts", "PolicyChoice").objects.values_list("key", "value")
        _chosen.clear()
        _chosen.update(rows)
        _read_at = time.monotonic()
    return _chosen
