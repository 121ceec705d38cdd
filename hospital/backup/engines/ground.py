"""What is asked of a database server, or of a directory with SQLite's files."""

from contextlib import AbstractContextManager
from typing import IO, Any, Final, Protocol

from django.conf import settings

# Whose rows are in no backup: logins, what is good for minutes (nonces, one-time codes), and copies
# of what is in it anyway, which wait a day to be fetched.
_FLEETING: Final = (
    "django_session",
    "devices_activation",
    "audit_exportpart",
    "privacy_rightscopy",
)


class Trouble(Exception):
    """It cannot be copied or put back; the text says why, in Chinese."""


def void() -> list[str]:
    """Return the tables whose rows are left out."""
    caches = [
        str(one["LOCATION"])
        for one in settings.CACHES.values()
        if str(one["BACKEND"]).endswith("DatabaseCache")
    ]
    return [*_FLEETING, *caches]


class Snapshot(Protocol):
    """A database at one moment."""

    version: str  # of the server, as it says it

    def tables(self) -> list[str]: ...

    def rows(self, statement: str) -> list[tuple[Any, ...]]: ...

    def dump(self) -> AbstractContextManager[IO[bytes]]:
        """
        Yield it as a stream, without the rows of `void()`.

        :raises Trouble: at the end: what was read does not count
        """


class Loader(Protocol):
    def write(self, piece: bytes, /) -> object: ...


class Ground(Protocol):
    """Where a database and what is made of it lie side by side, under names."""

    alias: str
    name: str  # of the one that is served

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """:raises Trouble:"""

    def demand_tools(self) -> None:
        """:raises Trouble: a program is missing or too old"""

    def demand_takes(self, version: str) -> None:
        """:raises Trouble: what was made with a server of this version does not fit in here"""

    def is_there(self, name: str) -> bool: ...

    def is_empty(self, name: str) -> bool:
        """Whether nobody works here, and nobody is on record; also if it is not there."""

    def others(self, name: str) -> int:
        """Return how many connections there are, as far as can be told."""

    def make(self, name: str) -> None:
        """Make an empty one; one that was left there goes."""

    def drop(self, name: str) -> None: ...

    def rename(self, name: str, to: str) -> None:
        """:raises Trouble: somebody is connected"""

    def loading(self, name: str) -> AbstractContextManager[Loader]:
        """
        Yield what takes a dump, into an empty one.

        :raises Trouble: at the end: it is not to be used
        """

    def url(self, name: str) -> str: ...
