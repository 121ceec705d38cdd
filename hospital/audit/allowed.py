"""
What two people had removed or covered, which is no fault as long as the trail itself says so.

A row that says it (`Pruned`, `Redacted`) is anybody's word who owns the tables. It counts when a
later event, sealed or about to be, names the same range or the same line.
"""

import json
from bisect import bisect_right
from typing import Any, Final

from hospital.audit import canonical, lines, reading
from hospital.audit.actions import Action
from hospital.audit.merkle import leaf_hash
from hospital.audit.reading import Line, Sealed
from hospital.audit.verdict import Verdict

_PRUNE: Final = Action.AUDIT_PRUNE.value.tag
_REDACT: Final = Action.AUDIT_REDACT.value.tag

Range = tuple[int, int]  # from a place to before another


def covered(hash_: bytes) -> bytes:
    """Return the text that stands for one that was covered: the hash of its leaf."""
    return canonical.line({"redacted": hash_.hex(), "v": 1}).encode()


class Allowed:
    """What a walk along the leaves met of it, until `settle` says whether it was allowed."""

    def __init__(self) -> None:
        self._is_fresh = False  # whether the rows were asked since the page was read
        self._said_pruned: list[Range] = []  # by rows
        self._together: list[Range] = []  # the same, without overlaps
        self._said_redacted: set[int] = set()
        self._missing: list[Range] = []  # as met, runs of places
        self._covered: dict[int, tuple[str, int | None]] = {}  # as met: place → hash, event
        self._prunes: set[Range] = set()  # as events named them
        self._redactions: set[tuple[int, str]] = set()

    def turn_page(self) -> None:
        """Forget that the rows are fresh: what is read next may have been pruned meanwhile."""
        self._is_fresh = False

    def is_pruned(self, place: int) -> bool:
        """Return whether a missing event is said to be pruned; remember that it is missing."""
        if not self._is_said(place) and (self._is_fresh or not self._is_said_now(place)):
            return False
        if self._missing and self._missing[-1][1] == place:
            self._missing[-1] = (self._missing[-1][0], place + 1)
        else:
            self._missing.append((place, place + 1))
        return True

    def is_redacted(self, leaf: Sealed) -> bool:
        """Return whether an event is covered, by one that is said to be; remember it."""
        line = leaf.line
        if line.action is not None or reading.encoded(line.payload) != covered(leaf.hash):
            return False
        if leaf.place not in self._said_redacted and not self._is_fresh:
            self._read()
        if leaf.place not in self._said_redacted or not lines.shows_nothing(line):
            return False
        self._covered[leaf.place] = (leaf.hash.hex(), line.id)
        return True

    def hear(self, line: Line, *, place: int | None = None) -> None:
        """Take note of an event without fault that says what was allowed, before its own place."""
        if line.action not in {_PRUNE, _REDACT}:
            return
        facts = json.loads(line.payload)["facts"]
        before = facts.get("end" if line.action == _PRUNE else "index")
        if not isinstance(before, int) or (place is not None and place < before):
            return
        if line.action == _PRUNE:
            self._prunes.add((facts.get("start"), before))
        else:
            self._redactions.add((before, str(facts.get("hash"))))

    def settle(self, verdict: Verdict, *, last: int) -> None:
        """Say what no event allowed; count the rest. `last` is where the walk ended."""
        if self._missing or self._covered:
            self._hear_later(last)
        # Said by a row and by an event; what tells of a removal is never removed itself.
        allowed = _joined([one for one in self._said_pruned if one in self._prunes])
        for start, end in self._missing:
            for low, high in _without(start, end, allowed):
                said = f"封存序号 {low} 至 {high - 1} 的留痕已清理，留痕中却没有批准清理的记录"
                verdict.find("pruned", said)
                verdict.pruned -= high - low
            verdict.pruned += end - start
        for place, (hash_, pk) in self._covered.items():
            if (place, hash_) in self._redactions:
                verdict.redacted += 1
            else:
                said = f"留痕 {pk} 的内容已遮盖，留痕中却没有批准遮盖的记录"
                verdict.find("redacted", said, pk)

    def _hear_later(self, last: int) -> None:
        """Listen to what was sealed since the walk began: it may be about what it met."""
        for chunk in reading.sealed(start=last + 1, last=reading.last()):
            for leaf in chunk:
                text = reading.encoded(leaf.line.payload)
                if leaf.hash == leaf_hash(text) and not any(lines.faults(leaf.line)):
                    self.hear(leaf.line, place=leaf.place)

    def _is_said_now(self, place: int) -> bool:
        self._read()
        return self._is_said(place)

    def _is_said(self, place: int) -> bool:
        at = bisect_right(self._together, place, key=lambda one: one[0]) - 1
        return at >= 0 and place < self._together[at][1]

    def _read(self) -> None:
        self._is_fresh = True
        pruned = reading.rows('SELECT start, "end" FROM audit_pruned', [])
        self._said_pruned = sorted(
            (start, end) for start, end in pruned if _are_numbers(start, end)
        )
        self._together = _joined(self._said_pruned)
        redacted = reading.rows('SELECT "index" FROM audit_redacted', [])
        self._said_redacted = {index for (index,) in redacted if _are_numbers(index)}


def _joined(ranges: list[Range]) -> list[Range]:
    """Return what sorted ranges cover."""
    joined: list[Range] = []
    for start, end in ranges:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _without(start: int, end: int, ranges: list[Range]) -> list[Range]:
    """Return what of a range is in none of those, which are in order."""
    left = []
    for low, high in ranges:
        if high <= start or end <= low:
            continue
        if start < low:
            left.append((start, low))
        start = max(start, high)
    return [*left, (start, end)] if start < end else left


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(one, int) for one in values)
