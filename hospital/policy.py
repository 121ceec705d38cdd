"""
What a parameter of the security policy is right now.

The security administrator's choice, else the environment's, else the default; never beyond its
line (`hospital.parameters`), wherever it comes from.
"""

import time
from typing import Final

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from hospital.parameters import BY_KEY

REMEMBERED: Final = 5.0  # seconds a process keeps what was chosen

_chosen: dict[str, int] = {}
_read_at = float("-inf")


def value(key: str) -> int:
    """
    :raises KeyError: there is no such parameter
    :raises ImproperlyConfigured: the environment set it beyond its line, and nobody stopped this
        process when it started
    """
    parameter = BY_KEY[key]
    chosen = _choices().get(key)
    if chosen is not None and parameter.allows(chosen):  # whoever wrote the row, and however
        return chosen
    given: int = settings.POLICY[key]
    if not parameter.allows(given):
        raise ImproperlyConfigured(parameter.refusal(given))
    return given


def beyond() -> dict[str, int]:
    """Return what the environment sets beyond its line."""
    given: dict[str, int] = settings.POLICY
    return {key: one for key, one in given.items() if not BY_KEY[key].allows(one)}


def forced() -> dict[str, int]:
    """Return what the table holds beyond its line: written past the pages, and not in force."""
    rows = apps.get_model("accounts", "PolicyChoice").objects.values_list("key", "value")
    return {key: one for key, one in rows if key not in BY_KEY or not BY_KEY[key].allows(one)}


def forget() -> None:
    """Read the choices anew: one was just made."""
    global _read_at  # noqa: PLW0603 (one memory per process)
    _read_at = float("-inf")


def _choices() -> dict[str, int]:
    global _chosen, _read_at  # noqa: PLW0603 (one memory per process)
    now = time.monotonic()
    if now - _read_at > REMEMBERED:
        rows = apps.get_model("accounts", "PolicyChoice").objects.values_list("key", "value")
        # Another one, at once: threads that answer others read the old one to its end.
        _chosen = dict(rows)
        _read_at = now
    return _chosen
