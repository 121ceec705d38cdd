"""
What two people had removed or covered, which is no fault as long as the trail itself says so.

A row that says it (`Pruned`, `Redacted`) is anybody's word who owns the tables. It counts when a
later event, sealed or about to be, names the same proposal with the same range or line, and events
before that one show two people who wanted it. A range was archived, and old, besides.
"""

from bisect import bisect_right
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from hospital.audit import approved, canonical, lines, reading, stated
from hospital.audit.actions import Action
from hospital.audit.keeping import periods
from hospital.audit.merkle import leaf_hash
from hospital.audit.reading import Line, Sealed
from hospital.audit.verdict import Verdict

_PRUNE: Final = Action.AUDIT_PRUNE.value.tag
_REDACT: Final = Action.AUDIT_REDACT.value.tag
_ANY: Final = 2**62  # as large a checkpoint as there may be

Range = tuple[int, int]  # from a place to before another


class _Prune(NamedTuple):
    """What an event says was pruned, and how many events of the range stayed."""

    start: int
    end: int
    proposal: str
    kept: int
    at: datetime
    place: int | None


class _Redaction(NamedTuple):
    of: int
    hash: str
    proposal: str
    place: int | None


def covered(hash_: bytes) -> bytes:
    """Return the text that stands for one that was covered: the hash of its leaf."""
    return canonical.line({"redacted": hash_.hex(), "v": 1}).encode()


class Allowed:
    """What a walk along the leaves met of it, until `settle` says whether it was allowed."""

    def __init__(self) -> None:
        self._is_fresh = False  # whether the rows were asked since the page was read
        self._said_pruned: set[tuple[int, int, str]] = set()  # by rows, with the proposal
        self._together: list[Range] = []  # the same, without overlaps
        self._said_redacted: dict[int, str] = {}  # place → proposal
        self._missing: list[Range] = []  # as met, runs of places
        self._covered: dict[int, tuple[str, int | None]] = {}  # as met: place → hash, event
        self._prunes: set[_Prune] = set()  # as events named them
        self._redactions: set[_Redaction] = set()

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
        if line.action not in {_PRUNE, _REDACT} or line.outcome != "success":
            return
        facts = stated.facts(line.payload)
        proposal = str(facts.get("proposal"))
        if line.action == _REDACT:
            index, hash_ = facts.get("index"), str(facts.get("hash"))
            if type(index) is int and _is_after(place, index):
                self._redactions.add(_Redaction(index, hash_, proposal, place))
            return
        start, end, kept = (facts.get(name) for name in ("start", "end", "count"))
        if type(start) is int and type(end) is int and type(kept) is int and _is_after(place, end):
            self._prunes.add(_Prune(start, end, proposal, kept, lines.time(line), place))

    def settle(self, verdict: Verdict, *, last: int) -> None:
        """Say what no event allowed; count the rest. `last` is where the walk ended."""
        if self._missing or self._covered:
            self._hear_later(last)
        self._settle_pruned(verdict)
        for place, (hash_, pk) in self._covered.items():
            if self._is_redaction_allowed(place, hash_):
                verdict.redacted += 1
            else:
                said = f"留痕 {pk} 的内容已遮盖，留痕中却没有批准遮盖的记录"
                verdict.find("redacted", said, pk)

    def _settle_pruned(self, verdict: Verdict) -> None:
        if not self._missing:
            return
        done = [one for one in sorted(self._prunes, key=_range) if self._is_prune_allowed(one)]
        # Said by a row and by events; what tells of a removal is never removed itself.
        allowed = _joined([_range(one) for one in done])
        for start, end in self._missing:
            for low, high in _without(start, end, allowed):
                said = f"封存序号 {low} 至 {high - 1} 的留痕已清理，留痕中却没有批准清理的记录"
                verdict.find("pruned", said)
                verdict.pruned -= high - low
            verdict.pruned += end - start
        for prune in done:
            stay = prune.end - prune.start - self._missing_in(prune)
            if stay < prune.kept:
                said = (
                    f"封存序号 {prune.start} 至 {prune.end - 1} 清理后应保留 {prune.kept} 条"
                    f"留痕，现在最多 {stay} 条"
                )
                verdict.find("pruned", said)

    def _missing_in(self, prune: _Prune) -> int:
        return sum(
            max(0, min(end, prune.end) - max(start, prune.start)) for start, end in self._missing
        )

    def _is_prune_allowed(self, prune: _Prune) -> bool:
        start, end, proposal = prune[:3]
        return (
            (start, end, proposal) in self._said_pruned
            and not _without(start, end, _archived())
            and _is_old(end, prune.at)
            and approved.by_two(proposal, _PRUNE, {"start": start, "end": end}, before=prune.place)
        )

    def _is_redaction_allowed(self, place: int, hash_: str) -> bool:
        return any(
            (one.of, one.hash) == (place, hash_)
            and one.proposal == self._said_redacted.get(place)
            and approved.by_two(
                one.proposal, _REDACT, {"index": place, "hash": hash_}, before=one.place
            )
            for one in self._redactions
        )

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
        pruned = reading.rows('SELECT start, "end", proposal FROM audit_pruned', [])
        self._said_pruned = {
            (start, end, _id(proposal))
            for start, end, proposal in pruned
            if _are_numbers(start, end)
        }
        self._together = _joined(sorted((start, end) for start, end, _ in self._said_pruned))
        redacted = reading.rows('SELECT "index", proposal FROM audit_redacted', [])
        self._said_redacted = {
            index: _id(proposal) for index, proposal in redacted if _are_numbers(index)
        }


def _archived() -> list[Range]:
    """Return of what there are archives, as rows say."""
    found = reading.rows('SELECT start, "end" FROM audit_archive', [])
    return _joined(sorted((start, end) for start, end in found if _are_numbers(start, end)))


def _is_old(end: int, at: datetime) -> bool:
    """Return whether the last event before `end` might, by law, be removed then."""
    covering = next(reading.checkpoints(after=end - 1, up_to=_ANY), None)
    signed_at = covering.created_at if covering else None
    return signed_at is not None and signed_at < periods.floor(at)


def _is_after(place: int | None, before: int) -> bool:
    """Return whether an event comes after what it speaks of; what has no place yet does."""
    return place is None or place >= before


def _id(stored: object) -> str:
    """Return a proposal's id as events state it; with SQLite it is stored without dashes."""
    try:
        return str(UUID(str(stored)))
    except ValueError:
        return ""


def _range(one: _Prune) -> Range:
    return one.start, one.end


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
    return all(type(one) is int for one in values)
