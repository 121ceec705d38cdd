"""Rows fetched together: when the key of one of them is missing, those of all are fetched."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final
from uuid import UUID

from hospital.crypto import keyring

_AT_ONCE: Final = 5_000  # subjects; a process does not remember the keys of a longer list


class Fetched:
    """The subjects of a list of rows, in its order, whose keys nobody has asked for yet."""

    __slots__ = ("_subjects", "add")

    def __init__(self) -> None:
        self._subjects: list[UUID] = []
        self.add = self._subjects.append

    def prefetch(self, subject: UUID) -> None:
        """
        Fetch the keys of the list as far as `subject`, and some beyond; each once.

        :raises KeyUnavailable:
        """
        while self._subjects:
            some = self._subjects[:_AT_ONCE]
            del self._subjects[:_AT_ONCE]
            keyring.prefetch(some)
            if subject in some:
                return


current: Final[ContextVar[Fetched | None]] = ContextVar("rows fetched together", default=None)


@contextmanager
def together() -> Iterator[None]:
    """Take all sealed values that are loaded inside for one list."""
    token = current.set(Fetched())
    try:
        yield
    finally:
        current.reset(token)
