"""
The one door to the keys; the rooms behind it are `epochs`, `data_keys` and `index_keys`.

Keys are random, never derived from one another: destroying the wrapped form destroys what
was sealed. What a process remembers of them ends after `KEY_CACHE_SECONDS`.
"""

from collections.abc import Callable

from django.db import transaction

from hospital.crypto import data_keys, epochs, index_keys
from hospital.crypto.data_keys import (
    SYSTEM_SUBJECT,
    DataSecret,
    SubjectForgotten,
    UnknownKey,
    alive,
    begin,
    data_key,
    data_key_of,
    destroy,
    durable_key_of,
    prefetch,
    provide,
    remembered,
    vouch,
)
from hospital.crypto.epochs import open_all
from hospital.crypto.models import key_database
from hospital.crypto.providers import KeyUnavailable, configured
from hospital.crypto.wrapping import WrongKey

__all__ = [
    "SYSTEM_SUBJECT",
    "DataSecret",
    "KeyUnavailable",
    "SubjectForgotten",
    "UnknownKey",
    "WrongKey",
    "alive",
    "begin",
    "clear",
    "data_key",
    "data_key_of",
    "destroy",
    "durable_key_of",
    "open_all",
    "prefetch",
    "provide",
    "remembered",
    "vouch",
    "when_durable",
]


def when_durable(act: Callable[[], None]) -> None:
    """Do `act` once every key used so far is committed: now, if there is no transaction."""
    transaction.on_commit(act, using=key_database())


def clear() -> None:
    """Forget every key this process holds, and the way to its provider."""
    data_keys.forget()
    index_keys.forget()
    epochs.forget()
    configured.forget()
