"""
A question to WeChat under way: where those who wait for it and the worker that asks it meet.

All of it is in the shared cache, and short-lived. The terminal's rawdata lies sealed under the
flight's id, and whoever takes it is the one who asks. What came of it is told once, for everybody.
"""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from django.core.cache import cache
from uuid6 import uuid7

from hospital.crypto.fields import open_text, seal_text

LIFE = 15  # seconds after which a flight nobody ended is given up
REMEMBERED = 5  # seconds a failure is kept for those who wait for it

CONTEXT = "terminal.rawdata"


@dataclass(frozen=True)
class Failure:
    """
    Why a flight brought nothing.

    :ivar problem: the code of the problem its terminal is told
    :ivar retry_after: seconds
    """

    problem: str
    retry_after: float = 0


class Look(NamedTuple):
    """What there is to see at one moment."""

    brought: bytes | None  # a credential, sealed
    failure: Failure | None
    is_over: bool


@dataclass(frozen=True)
class Flight:
    """
    One question, however many wait for its answer.

    :ivar name: of the credential it is to bring
    :ivar id: None if another's was over before it could be looked at
    :ivar at: when it was asked for, by the clock of whoever waits
    """

    name: str
    id: UUID | None
    at: datetime
    sealed: bytes = field(default=b"", repr=False)

    @classmethod
    def board(cls, name: str, *, at: datetime) -> tuple[Self, bool]:
        """Return the flight under way for `name`, or a new one; and whether it is new."""
        mine = uuid7()
        if cache.add(_lock(name), mine, LIFE):
            return cls(name, mine, at), True
        return cls(name, cache.get(_lock(name)), at), False

    @classmethod
    def claim(cls, ident: UUID) -> Self | None:
        """Return the flight to the one who is to ask; None to everybody after."""
        cargo = cache.get(_cargo(ident))
        if cargo is None or not cache.delete(_cargo(ident)):
            return None
        return cls(cargo["name"], ident, cargo["at"], cargo["rawdata"])

    @property
    def ident(self) -> UUID:
        """The id of a flight of one's own, or of a claimed one."""
        assert self.id is not None  # noqa: S101 (only another's may have none)
        return self.id

    def load(self, rawdata: str) -> None:
        """
        Leave the rawdata, sealed, for the worker.

        :raises KeyUnavailable:
        """
        sealed = seal_text(rawdata, context=CONTEXT, row=self.ident)
        cargo = {"name": self.name, "at": self.at, "rawdata": sealed}
        cache.set(_cargo(self.ident), cargo, LIFE)

    def rawdata(self) -> str:
        """
        Open what a claimed flight carries.

        :raises Unopenable, KeyUnavailable:
        """
        return open_text(self.sealed, context=CONTEXT, row=self.ident)

    def look(self) -> Look:
        """See everything in one glance, so that an end is never seen without what it brought."""
        names = [self.name, _lock(self.name), _failure(self.id)]
        brought, under_way, failure = map(cache.get_many(names).get, names)
        is_over = under_way is None or under_way != self.id
        return Look(brought, Failure(**failure) if failure else None, is_over)

    def fail(self, failure: Failure) -> None:
        """Let everybody who waits know at once, and whoever comes after try anew."""
        cache.set(_failure(self.id), asdict(failure), REMEMBERED)
        self.end()

    def end(self) -> None:
        """Make room for the next one."""
        if cache.get(_lock(self.name)) == self.id:  # else it was given up, and another is under way
            cache.delete(_lock(self.name))

    def call_off(self) -> None:
        """End it, unless a worker took the rawdata: what that one brings is not lost."""
        if self.id is not None and cache.delete(_cargo(self.id)):
            self.end()


def _lock(name: str) -> str:
    return f"{name}:flight"


def _cargo(ident: UUID) -> str:
    return f"authinfo:rawdata:{ident}"


def _failure(ident: UUID | None) -> str:
    return f"authinfo:failure:{ident}"
