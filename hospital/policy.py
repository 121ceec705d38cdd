"""
What a parameter of the security policy is right now.

The security administrator's choice, else the environment's, else the default; never beyond its
line (`hospital.parameters`), wherever it comes from.
"""

from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from hospital.parameters import BY_KEY
from hospital.remembered import Remembered

_CHOSEN: Final = Remembered("accounts.PolicyChoice", key="key")

forget = _CHOSEN.forget


def value(key: str) -> int:
    """
    :raises KeyError: there is no such parameter
    :raises ImproperlyConfigured: the environment set it beyond its line, and nobody stopped this
        process when it started
    """
    parameter = BY_KEY[key]
    chosen = _CHOSEN.get(key)
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
    return _CHOSEN.beyond(lambda key, value: key in BY_KEY and BY_KEY[key].allows(value))
