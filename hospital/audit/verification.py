"""
Is the trail what was written, in its order, and all of it?

Every line against its keyed code, its columns and its leaf; the leaves against every checkpoint;
the checkpoints against the keys of who signed them. What only a copy kept elsewhere can tell,
that the end was cut off together with all that spoke of it, needs that copy: an anchor.
"""

import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Max

from hospital.audit import guards, log, reading, sequencing
from hospital.audit.checkpoint import BadNote, Note, Verifier
from hospital.audit.merkle import Frontier, leaf_hash
from hospital.audit.reading import Line, Sealed
from hospital.audit.recording import EPOCH, mac
from hospital.audit.sequencing import tombstone
from hospital.audit.tree import Incomplete, Tree

LATE: Final = timedelta(seconds=60)  # an event that old has its place and is signed
SKEW: Final = timedelta(seconds=300)  # between an event's clock and the notary's
UNWITNESSED: Final = timedelta(minutes=15)
KEPT: Final = 1_000  # findings of a kind told one by one; more are counted
_LATEST: Final = 10**17  # microseconds: in the year 5138; a forged time may be anything

# Column → where the canonical line says it.
SHOWN: Final = {
    "action": ("action",),
    "outcome": ("outcome",),
    "actor_type": ("actor", "type"),
    "actor_id": ("actor", "id"),
    "object_type": ("object", "type"),
    "object_id": ("object", "id"),
    "request_id": ("ctx", "req"),
    "at_us": ("t",),
}

Told = Callable[[int, int], None]  # how many leaves of how many


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: a stable word, a Chinese sentence, the row's id."""

    kind: str
    text: str
    row: int | None = None


@dataclass
class Verdict:
    """What was read, and what was found. `anchored` is how many notes from outside agreed."""

    events: int = 0
    sealed: int = 0
    signed: int = 0
    anchored: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # how many findings of each
    findings: list[Finding] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)  # what could not be verified, and why
    reached: Frontier = field(default_factory=Frontier)  # the tree at the last good checkpoint

    @property
    def count(self) -> int:
        return self.kinds.total()

    @property
    def is_intact(self) -> bool:
        return not self.count

    @property
    def altered(self) -> tuple[int, ...]:
        """The ids of the lines that are not what was written."""
        return tuple(
            sorted({one.row for one in self.findings if one.kind in _LINE and one.row is not None})
        )

    def find(self, kind: str, text: str, row: int | None = None) -> None:
        self.kinds[kind] += 1
        if self.kinds[kind] <= KEPT:
            self.findings.append(Finding(kind, text, row))


_LINE: Final = {
    "mac": "校验码不符",
    "columns": "列与规范文本不符",
    "leaf": "内容与封存时不同",
}


def verify(
    *,
    at: datetime,
    verifiers: Sequence[Verifier] = (),
    anchors: Sequence[Note] = (),
    begin: Frontier | None = None,
    told: Told = lambda _done, _all: None,
) -> Verdict:
    """
    Read the trail and say what is wrong with it.

    :param verifiers: the keys of the log and its witnesses; without one no signature is believed
    :param anchors: notes from outside this database, already known to be signed
    :param begin: the tree an earlier run came to; what is sealed before is not read again
    """
    verdict = Verdict()
    verdict.reached = begin or Frontier()
    # In this order: what the notary adds meanwhile is not taken for missing.
    signed = log.Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0
    stored = Tree().stored()
    told(verdict.reached.size, stored)
    walk = _Walk(verdict, verifiers, anchors, up_to=signed, at=at)
    for chunk in reading.sealed(verdict.reached.size, stored):
        for leaf in chunk:
            walk.pass_by(leaf)
        told(walk.tree.size, stored)
    walk.end(stored)
    _earlier_anchors(verdict, anchors, before=begin.size if begin else 0)
    _unsealed(verdict, at)
    for fault in guards.drift(connection):
        verdict.find("guards", f"数据库防护{fault}")
    return verdict


def continued(begin: Frontier) -> bool:
    """Return whether the tree an earlier run came to is still one that was signed."""
    row = log.Checkpoint.objects.filter(size=begin.size).first()
    return row is not None and bytes(row.root) == begin.root()


class _Walk:
    """Along the leaves, from one checkpoint to the next."""

    def __init__(
        self,
        verdict: Verdict,
        verifiers: Sequence[Verifier],
        anchors: Sequence[Note],
        *,
        up_to: int,
        at: datetime,
    ) -> None:
        self._verdict, self._verifiers, self._at = verdict, verifiers, at
        self.tree = verdict.reached.copy()
        self._start = self._from = self.tree.size
        self._is_whole = True  # no leaf was missing so far: roots can be told
        self._checkpoints = reading.checkpoints(after=self._start, up_to=up_to)
        self._next = next(self._checkpoints, None)
        self._earliest: datetime | None = None  # when the last checkpoint was signed
        self._witnessed = _Witnessed(verifiers)
        self._unsigned: Line | None = None
        self._anchors: dict[int, list[Note]] = {}
        for note in anchors:
            self._anchors.setdefault(note.checkpoint.size, []).append(note)
        verdict.anchored += len(self._anchors.pop(0, ()))  # of nothing, with which all agree
        self._has_key = any(not one.is_witness for one in verifiers)

    def pass_by(self, leaf: Sealed) -> None:
        if self._is_whole and leaf.place != self.tree.size:
            self._is_whole = False
            self._verdict.find("gap", f"封存序号 {self.tree.size} 至 {leaf.place - 1} 缺失")
        self._verdict.sealed += 1
        self._judge(leaf)
        self.tree.append(leaf.hash)
        self._arrive()

    def end(self, stored: int) -> None:
        """Say what the checkpoints and anchors beyond the last leaf say."""
        verdict = self._verdict
        if self._is_whole and self.tree.size != stored:
            verdict.find("gap", f"封存序号 {self.tree.size} 至 {stored - 1} 缺失")
            self._is_whole = False
        if self._next and self._next.size > stored:
            verdict.find(
                "truncated", f"检查点说有 {self._next.size} 条，数据库只有 {stored} 条：被截断"
            )
        for size in sorted(size for size in self._anchors if size > stored):
            said = f"TRUNCATED 外部锚点说有 {size} 条，数据库只有 {stored} 条：被截断"
            verdict.find("truncated", said)
        if self._is_whole and not _agrees(self.tree):
            verdict.find("tile", "散列块与封存的散列不符")
        if self._unsigned and self._at - _time(self._unsigned) > LATE:
            verdict.find("unsigned", f"封存序号 {verdict.reached.size} 起超过 60 秒没有签名")
        if fault := self._witnessed.fault(self._at):
            verdict.find("witness", fault)
        if not self._has_key and verdict.reached.size:
            verdict.unsettled.append("没有留痕的公钥（TRAIL_VERIFIERS），签名未核验")

    def _judge(self, leaf: Sealed) -> None:
        line, find = leaf.line, self._verdict.find
        if line.id is None:
            when = "封存之前" if leaf.hash == leaf_hash(tombstone(leaf.event_id)) else "封存之后"
            find("removed", f"留痕 {leaf.event_id} 在{when}被删除", leaf.event_id)
            return
        self._verdict.events += 1
        if leaf.hash != leaf_hash(line.payload.encode()):
            find("leaf", f"留痕 {line.id} {_LINE['leaf']}", line.id)
        _judge(line, self._verdict)
        if self._next is None:
            self._unsigned = self._unsigned or line
            return
        at = _time(line)
        if at > self._next.created_at + SKEW or (self._earliest and at < self._earliest - SKEW):
            find("clock", f"留痕 {line.id} 的时间与封存时间相差超过 300 秒", line.id)

    def _arrive(self) -> None:
        """Compare the tree with whoever stated its root at this size."""
        size = self.tree.size
        if self._next and self._next.size == size:
            self._check(self._next)
            # One that took as much as it could left older events for the next.
            if size - self._from < sequencing.BATCH:
                self._earliest = self._next.created_at
            self._from = size
            self._next = next(self._checkpoints, None)
        for note in self._anchors.get(size, ()):
            if self._is_whole and note.checkpoint.root == self.tree.root():
                self._verdict.anchored += 1
            else:
                self._verdict.find(
                    "forked", f"FORKED 外部锚点（{size} 条）的根与数据库不符：被改写"
                )

    def _check(self, row: log.Checkpoint) -> None:
        verdict, root = self._verdict, self.tree.root()
        verdict.signed = row.size
        said = f"检查点（{row.size} 条）"
        if not self._is_whole or bytes(row.root) != root:
            verdict.find("root", f"{said}的根与封存的散列不符", row.size)
            return
        try:
            note = Note.parse(row.note)
            checkpoint = note.checkpoint
            if (checkpoint.size, checkpoint.root) != (row.size, root):
                verdict.find("signature", f"{said}的签名文本说的是别的", row.size)
                return
            if self._has_key:
                _verify(note, [one for one in self._verifiers if not one.is_witness])
        except BadNote:
            verdict.find("signature", f"{said}没有有效签名", row.size)
            return
        self._witnessed.see(note)
        verdict.reached = self.tree.copy()


class _Witnessed:
    """Whether a witness went along with the log, as far as its keys are known."""

    def __init__(self, verifiers: Sequence[Verifier]) -> None:
        self._verifiers = [one for one in verifiers if one.is_witness]
        self._late: dict[int, str] = {}
        if self._verifiers:
            late = log.Anchor.objects.filter(sink="witness").values_list("size", "receipt")
            self._late = dict(late)
        self._has_seen = self._is_last = False
        self._when: datetime | None = None

    def see(self, note: Note) -> None:
        self._has_seen, self._is_last = True, False
        lines = self._late.get(note.checkpoint.size, "").splitlines(keepends=True)
        for witness in self._verifiers:
            try:
                seconds = note.with_lines(lines).verify(witness)
            except BadNote:
                continue
            self._is_last = True
            self._when = EPOCH + timedelta(seconds=seconds or 0)

    def fault(self, at: datetime) -> str:
        if not self._verifiers or not self._has_seen or self._is_last:
            return ""
        if self._when and at - self._when <= UNWITNESSED:
            return ""
        return "最近的检查点超过 15 分钟没有见证方签名"


def _verify(note: Note, by: Sequence[Verifier]) -> None:
    """:raises BadNote: none of them signed it as its log"""
    origin = note.checkpoint.origin
    if not any(one.name == origin and note.is_signed_by(one) for one in by):
        raise BadNote("not signed by a log we know")


def _agrees(tree: Frontier) -> bool:
    try:
        return Tree().root_at(tree.size) == tree.root()
    except Incomplete:
        return False


def _earlier_anchors(verdict: Verdict, anchors: Sequence[Note], *, before: int) -> None:
    """Anchors over what is not read again are compared with the tree as it is stored."""
    tree = Tree()
    for note in anchors:
        checkpoint = note.checkpoint
        if 0 < checkpoint.size <= before:
            try:
                same = tree.root_at(checkpoint.size) == checkpoint.root
            except Incomplete:
                same = False
            if same:
                verdict.anchored += 1
            else:
                said = f"FORKED 外部锚点（{checkpoint.size} 条）的根与数据库不符：被改写"
                verdict.find("forked", said)


def _unsealed(verdict: Verdict, at: datetime) -> None:
    for pk, line in reading.pending():
        if line.id is None:
            verdict.find("removed", f"留痕 {pk} 在封存之前被删除", pk)
            continue
        verdict.events += 1
        _judge(line, verdict)
        if at - _time(line) > LATE:
            verdict.find("pending", f"留痕 {pk} 超过 60 秒没有封存", pk)
    for pk, line in reading.hidden():
        verdict.events += 1
        _judge(line, verdict)
        verdict.find("hidden", f"留痕 {pk} 绕过了封存", pk)


def _judge(line: Line, verdict: Verdict) -> None:
    for kind in _faults(line):
        verdict.find(kind, f"留痕 {line.id} {_LINE[kind]}", line.id)


def _faults(line: Line) -> Iterator[str]:
    if not hmac.compare_digest(mac(line.payload), reading.octets(line.mac)):
        yield "mac"
    try:
        said = json.loads(line.payload)
        same = said["uid"].replace("-", "") == str(line.uid).replace("-", "") and all(
            getattr(line, column) == _at(said, path) for column, path in SHOWN.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        same = False
    if not same:
        yield "columns"


def _at(said: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = said
    for name in path:
        value = value[name]
    return value


def _time(line: Line) -> datetime:
    stated = line.at_us if isinstance(line.at_us, int) else 0
    return EPOCH + timedelta(microseconds=min(max(stated, 0), _LATEST))
