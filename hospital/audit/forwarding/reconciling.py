"""What a log server has, compared with the log: nothing missing, nothing different."""

import hmac
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from hospital.audit.forwarding import received
from hospital.audit.forwarding.received import Stated
from hospital.audit.log import Leaf
from hospital.audit.merkle import leaf_hash
from hospital.audit.reading import octets

NAMED: Final = 20  # of each kind, the rest is counted
_AT_ONCE: Final = 2_000  # lines compared with one query
_MOST: Final = 255  # how often one is counted


@dataclass
class Received:
    """
    What was found.

    :param missing: ranges of indexes, the end not among them
    :param different: indexes whose hash or text is not ours, or that the log does not have
    :param texts: how many texts were compared
    :param marked: lines that say themselves that their text is not what was sealed
    """

    lines: int = 0
    unreadable: int = 0
    foreign: int = 0  # of another log
    doubled: int = 0
    texts: int = 0
    marked: int = 0
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
            Leaf.objects.filter(index__in={one.index for one in batch}).values_list("index", "hash")
        )
        for one in batch:
            if not _is_ours(one, octets(hashes.get(one.index))):
                found.different.append(one.index)
            elif start <= one.index < end:
                seen[one.index - start] = min(seen[one.index - start] + 1, _MOST)
    found.doubled = sum(count - 1 for count in seen if count)
    found.missing = list(_ranges(seen, start))
    return found


def _stated(lines: Iterable[str], origin: str, found: Received) -> Iterator[Stated]:
    for line in lines:
        if not line.strip():
            continue
        found.lines += 1
        one = received.read(line)
        if one is None:
            found.unreadable += 1
        elif one.origin not in ("", origin):
            found.foreign += 1
        else:
            found.marked += one.is_marked
            found.texts += one.text is not None and not one.is_marked
            yield one


def _is_ours(one: Stated, digest: bytes) -> bool:
    if digest.hex() != one.hash:
        return False
    if one.text is None or one.is_marked:
        return True
    return hmac.compare_digest(leaf_hash(one.text.encode(errors="surrogatepass")), digest)


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
