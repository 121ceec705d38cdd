"""What a log server has, compared with the log: nothing missing, nothing different."""

import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from hospital.audit.log import Leaf
from hospital.audit.reading import octets

NAMED: Final = 20  # of each kind, the rest is counted
_AT_ONCE: Final = 2_000  # lines compared with one query
_MOST: Final = 255  # how often one is counted

# A raw message, a line of JSON made of one, or only the two: in this order, because the text of a
# message may speak of an index and a hash of its own.
_FORMS: Final = (
    re.compile(r'index=\\?"(?P<index>\d{1,18})\\?" hash=\\?"(?P<hash>[0-9a-f]{64})\\?"'),
    re.compile(r'"index"\s*:\s*"?(?P<index>\d{1,18})"?\b.*?"hash"\s*:\s*"(?P<hash>[0-9a-f]{64})"'),
    re.compile(r'^\W*(?P<index>\d{1,18})[\s,;|"]+(?P<hash>[0-9a-f]{64})\W*$'),
)
_ORIGIN: Final = re.compile(r'origin=\\?"(?P<origin>[^"\\]*)\\?"')


@dataclass
class Received:
    """
    What was found.

    :param missing: ranges of indexes, the end not among them
    :param different: indexes whose hash is not ours, or that the log does not have
    """

    lines: int = 0
    unreadable: int = 0
    foreign: int = 0  # of another log
    doubled: int = 0
    missing: list[tuple[int, int]] = field(default_factory=list)
    different: list[int] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        return not self.missing and not self.different

    @property
    def missing_count(self) -> int:
        return sum(end - start for start, end in self.missing)


def compare(lines: Iterable[str], *, origin: str, start: int, end: int) -> Received:
    """
    Compare lines a log server kept with the leaves from `start` to before `end`.

    Lines are in any order. Those before `start` and from `end` on are compared, but not missed.
    """
    found = Received()
    seen = array("B", bytes(max(end - start, 0)))
    stated = _stated(lines, origin, found)
    while batch := list(islice(stated, _AT_ONCE)):
        hashes = dict(
            Leaf.objects.filter(index__in={index for index, _ in batch}).values_list(
                "index", "hash"
            )
        )
        for index, digest in batch:
            if octets(hashes.get(index)).hex() != digest:
                found.different.append(index)
            elif start <= index < end:
                seen[index - start] = min(seen[index - start] + 1, _MOST)
    found.doubled = sum(count - 1 for count in seen if count)
    found.missing = list(_ranges(seen, start))
    return found


def _stated(lines: Iterable[str], origin: str, found: Received) -> Iterator[tuple[int, str]]:
    for line in lines:
        if not line.strip():
            continue
        found.lines += 1
        match = next(filter(None, (form.search(line) for form in _FORMS)), None)
        if match is None:
            found.unreadable += 1
            continue
        named = _ORIGIN.search(line, 0, match.start())
        if named and named["origin"] != origin:
            found.foreign += 1
            continue
        yield int(match["index"]), match["hash"]


def _ranges(seen: "array[int]", start: int) -> Iterator[tuple[int, int]]:
    """Yield where nothing was seen."""
    began: int | None = None
    for index, count in enumerate(seen, start):
        if not count and began is None:
            began = index
        elif count and began is not None:
            yield began, index
            began = None
    if began is not None:
        yield began, start + len(seen)
