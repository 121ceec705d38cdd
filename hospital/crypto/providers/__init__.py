"""
Who keeps the key that wraps all others.

A provider is met once per process and epoch; sealing and opening never call one.
"""

from typing import Protocol

from hospital.errors import Unavailable


class KeyUnavailable(Unavailable):
    """
    The provider cannot be reached, or refuses.

    `reason` is for the operator's log: never for a kiosk, and never part of a key.
    """

    def __init__(self, reason: str, *, retry_after: float = 5) -> None:
        super().__init__(retry_after=retry_after)
        self.reason = reason
        self.add_note(reason)


class KeyRefused(Exception):
    """The provider answered: this was not wrapped by the key it holds, or not for this context."""


class RootKeyExists(Exception):
    """There is a root key of this name; making another would lose what it wrapped."""


class KeyProvider(Protocol):
    """Wraps key-encryption keys under a key that never enters the database."""

    @property
    def name(self) -> str:
        """What `KEY_PROVIDER` and the epochs in the database call it."""

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """
        Return `key` wrapped and bound to `context`.

        :raises KeyUnavailable:
        """

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """
        Return the key.

        :raises KeyUnavailable:
        :raises KeyRefused:
        """
