"""
The ledger of who was forgotten: beside the databases, so that no backup brings anybody back.

One line for each, only ever added. Each carries a keyed digest over itself and the one before:
whoever changes, removes or adds a line without the key is found out. A line names ids and nothing
else. Where the lines lie is a store's affair: a file (`ledger_file`), or a table on a database of
its own (`ledger_table`). A mark is the same in both.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

_VERSION: Final = 1


class Broken(Exception):
    """It is not what it was: lines are missing, changed, or not by our key."""


class Lost(Broken):
    """It ends before a line that was there."""


@dataclass(frozen=True)
class Mark:
    """The end of one line: how many there are up to it, its digest, and how long they are."""

    place: int = 0
    digest: str = ""
    end: int = 0  # bytes

    @property
    def ending(self) -> bytes:
        """What its line ends with."""
        return json.dumps({"digest": self.digest}, separators=(",", ":")).encode()[1:] + b"\n"


BEGIN: Final = Mark()


@dataclass(frozen=True)
class Entry:
    """Whose erasure it is, and whose keys it took: the subject's, and of what became theirs."""

    erasure: UUID
    subject: UUID
    keys: tuple[UUID, ...]
    at: datetime


@dataclass(frozen=True)
class Line:
    entry: Entry
    mark: Mark


class Store(Protocol):
    """Where the lines lie, each with its end of line; what they say is not looked into."""

    def behind(self, mark: Mark) -> list[bytes]:
        """
        Return the lines behind a mark, in their order.

        :raises Lost: they end before the mark
        :raises Broken: another line is there, or one is missing
        :raises OSError: they cannot be read
        """

    def add(self, text: bytes, *, after: Mark) -> None:
        """
        Put a line behind the last one; it is durable when this returns.

        :raises OSError: it is not there, or nobody can say whether it is
        """


def read(store: Store, *, key: bytes, after: Mark = BEGIN) -> list[Line]:
    """
    Return the lines behind a mark, each examined.

    Those before it are taken as examined: only that they end with the mark's own digest is looked
    at. From `BEGIN` all are.

    :raises Lost: the ledger ends before the mark
    :raises Broken: the mark's line is another one, or a line behind it is not as it was written
    :raises OSError: it cannot be read
    """
    lines, mark = [], after
    for text in store.behind(after):
        entry, place, digest = _parsed(text)
        if place != mark.place + 1 or not hmac.compare_digest(
            digest, _digest(mark, entry, key=key)
        ):
            raise Broken
        mark = Mark(place, digest, mark.end + len(text))
        lines.append(Line(entry, mark))
    return lines


def append(store: Store, entry: Entry, *, key: bytes, after: Mark) -> Line:
    """
    Add a line behind the last one, whose mark this is; it is durable when this returns.

    Whoever calls this sees to it that nobody else does meanwhile.

    :raises OSError: it is not there, or nobody can say whether it is
    """
    digest = _digest(after, entry, key=key)
    text = _text({**_body(after, entry), "digest": digest})
    store.add(text, after=after)
    return Line(entry, Mark(after.place + 1, digest, after.end + len(text)))


def _body(after: Mark, entry: Entry) -> dict[str, Any]:
    return {
        "v": _VERSION,
        "place": after.place + 1,
        "erasure": str(entry.erasure),
        "subject": str(entry.subject),
        "keys": [str(key) for key in entry.keys],
        "at": entry.at.isoformat(),
    }


def _digest(after: Mark, entry: Entry, *, key: bytes) -> str:
    said = after.digest.encode() + _text(_body(after, entry))
    return hmac.new(key, said, hashlib.sha256).hexdigest()


def _text(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def _parsed(text: bytes) -> tuple[Entry, int, str]:
    """:raises Broken: no line of ours looks like this"""
    try:
        body = json.loads(text)
        entry = Entry(
            UUID(body["erasure"]),
            UUID(body["subject"]),
            tuple(map(UUID, body["keys"])),
            datetime.fromisoformat(body["at"]),
        )
        return entry, int(body["place"]), str(body["digest"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Broken from None
