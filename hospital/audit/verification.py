"""
Is the trail what was written, in its order, and all of it?

Every line against its keyed code, its columns and its leaf; the leaves against every checkpoint;
the checkpoints against the keys of who signed them. What only a copy kept elsewhere can tell,
that the end was cut off together with all that spoke of it, needs that copy: an anchor.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import Max

from hospital.audit import completeness, guards, lines, log, reading, sequencing
from hospital.audit.allowed import Allowed
from hospital.audit.anchors import checking
from hospital.audit.checkpoint import BadNote, Checkpoint, Note, Verifier
from hospital.audit.cosigned import Cosigned
from hospital.audit.lines import SKEW
from hospital.audit.merkle import Frontier, leaf_hash
from hospital.audit.origins import Origins
from hospital.audit.reading import Line, Sealed, Signed
from hospital.audit.sequencing import tombstone
from hospital.audit.tree import Incomplete, Tree
from hospital.audit.verdict import LINE, Verdict

__all__ = ["LATE", "SKEW", "Verdict", "continued", "verify"]

LATE: Final = timedelta(seconds=60)  # an event that old has its place and is signed

Told = Callable[[int, int], None]  # how many leaves of how many


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
    :param begin: the tree an earlier run came to; what is sealed before is not read again, and of
        the signatures after it the log's last one speaks for all whose roots are as they should be
    """
    verdict, allowed = Verdict(), Allowed()
    verdict.reached = begin or Frontier()
    # In this order: what the notary adds meanwhile is not taken for missing.
    signed = log.Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0
    last = reading.last()
    told(verdict.reached.size, last + 1)
    walk = _Walk(verdict, allowed, verifiers, anchors, up_to=signed, is_full=begin is None, at=at)
    for chunk in reading.sealed(start=verdict.reached.size, last=last):
        allowed.turn_page()
        for leaf in chunk:
            walk.pass_by(leaf)
        told(walk.tree.size, last + 1)
    walk.end(last + 1)
    _earlier_anchors(verdict, anchors, before=begin.size if begin else 0)
    _unsealed(verdict, allowed, at)
    allowed.settle(verdict, last=last)
    _receipts(verdict, after=begin.size if begin else 0)
    for table, row in completeness.unrecorded():
        verdict.find("unrecorded", f"没有留痕的改动：{table} {row}")
    for fault in guards.drift(connection):
        verdict.find("guards", f"数据库防护{fault}")
    return verdict


def _receipts(verdict: Verdict, *, after: int) -> None:
    verdict.unverified_receipts = checking.unverified(after=after)
    for pk in reading.strange_anchors():
        verdict.find("anchor", f"锚点 {pk} 的列里有不可能的值", pk)
    try:
        with reading.any_text():
            for text, pk in checking.faults(after=after):
                verdict.find("receipt", text, pk)
    except checking.Unusable as exc:
        verdict.unsettled.append(str(exc))


def continued(begin: Frontier) -> bool:
    """Return whether the tree an earlier run came to is still one that was signed."""
    row = next(reading.checkpoints(after=begin.size - 1, up_to=begin.size), None)
    return row is not None and row.root == begin.root()


class _Walk:
    """Along the leaves, from one checkpoint to the next."""

    def __init__(
        self,
        verdict: Verdict,
        allowed: Allowed,
        verifiers: Sequence[Verifier],
        anchors: Sequence[Note],
        *,
        up_to: int,
        is_full: bool,
        at: datetime,
    ) -> None:
        self._verdict, self._allowed, self._verifiers, self._at = verdict, allowed, verifiers, at
        self.tree = verdict.reached.copy()
        self._from = self.tree.size
        self._is_whole = True  # no leaf was missing so far: roots can be told
        self._checkpoints = reading.checkpoints(after=self._from, up_to=up_to)
        self._next = next(self._checkpoints, None)
        self._earliest: datetime | None = None  # when the last checkpoint was signed
        self._cosigned = Cosigned(verifiers, since=self._from)
        self._origins = Origins(settings.TRAIL_ORIGIN)
        self._unsigned: Line | None = None
        self._anchors: dict[int, list[Note]] = {}
        for note in anchors:
            if note.checkpoint.size > self._from:
                self._anchors.setdefault(note.checkpoint.size, []).append(note)
        self._has_key = any(not one.is_witness for one in verifiers)
        self._is_full, self._last, self._origin = is_full, up_to, ""

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
        if self._next and self._next.size > stored:
            verdict.find(
                "truncated", f"检查点说有 {self._next.size} 条，数据库只有 {stored} 条：被截断"
            )
        elif self._next:  # leaves are missing before it
            self._check(self._next)
        for size, notes in sorted(self._anchors.items()):
            if size > stored:
                said = f"TRUNCATED 外部锚点说有 {size} 条，数据库只有 {stored} 条：被截断"
                verdict.find("truncated", said)
            else:
                _forked(verdict, notes)
        if self._is_whole and not _agrees(self.tree):
            verdict.find("tile", "散列块与封存的散列不符")
        if self._unsigned and self._at - lines.time(self._unsigned) > LATE:
            verdict.find("unsigned", f"封存序号 {verdict.reached.size} 起超过 60 秒没有签名")
        if fault := self._cosigned.fault(self._at):
            verdict.find("witness", fault)
        for said, size in self._origins.faults():
            verdict.find("signature", said, size)
        if not self._has_key and verdict.reached.size:
            verdict.unsettled.append("没有留痕的公钥（TRAIL_VERIFIERS），签名未核验")

    def _judge(self, leaf: Sealed) -> None:
        line, find = leaf.line, self._verdict.find
        if not isinstance(leaf.event_id, int):
            find("leaf", f"封存序号 {leaf.place} 的事件编号不是数")
            return
        if line.id is None:
            is_tombstone = leaf.hash == leaf_hash(tombstone(leaf.event_id))
            if is_tombstone or not self._allowed.is_pruned(leaf.place):
                when = "封存之前" if is_tombstone else "封存之后"
                find("removed", f"留痕 {leaf.event_id} 在{when}被删除", leaf.event_id)
            return
        self._verdict.events += 1
        if self._allowed.is_redacted(leaf):
            if not lines.is_coded(line):
                find("mac", f"留痕 {line.id} {LINE['mac']}", line.id)
            return
        is_sealed_so = leaf.hash == leaf_hash(reading.encoded(line.payload))
        if not is_sealed_so:
            find("leaf", f"留痕 {line.id} {LINE['leaf']}", line.id)
        if _judge(line, self._verdict) and is_sealed_so:
            self._allowed.hear(line, place=leaf.place)
            self._origins.hear(line, place=leaf.place)
        self._time(line)

    def _time(self, line: Line) -> None:
        """Compare the event's clock with the notary's, or note that nothing signed it yet."""
        if self._next is None:
            self._unsigned = self._unsigned or line
            return
        at, signed_at = lines.time(line), self._next.created_at
        is_ahead = signed_at is not None and at > signed_at + SKEW
        if is_ahead or (self._earliest and at < self._earliest - SKEW):
            said = f"留痕 {line.id} 的时间与封存时间相差超过 300 秒"
            self._verdict.find("clock", said, line.id)

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
        for note in self._anchors.pop(size, ()):
            if self._is_whole and note.checkpoint.root == self.tree.root():
                self._verdict.anchored += 1
            else:
                _forked(self._verdict, [note])

    def _check(self, row: Signed) -> None:
        verdict, root = self._verdict, self.tree.root()
        verdict.signed = self.tree.size
        said = f"检查点（{row.size} 条）"
        if not self._is_whole or row.root != root:
            verdict.find("root", f"{said}的根与封存的散列不符", row.size)
            return
        if row.created_at is None:
            verdict.find("signature", f"{said}的时间不是时间", row.size)
        if self._says_nothing_more(row, root):
            self._cosigned.see(row.note)
        else:
            self._look_at(row, root)

    def _look_at(self, row: Signed, root: bytes) -> None:
        verdict, said = self._verdict, f"检查点（{row.size} 条）"
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
        self._cosigned.see(row.note)
        if self._has_key:
            self._origin = checkpoint.origin
            self._origins.see(checkpoint)
        verdict.reached = self.tree.copy()

    def _says_nothing_more(self, row: Signed, root: bytes) -> bool:
        """
        Whether a later note of the same log says all that this one does.

        Signed second by second, most of a day's verification went into signatures over roots that
        the last one's root contains. Where everything is read, all of them are looked at.
        """
        if self._is_full or not self._origin or row.size == self._last:
            return False
        return row.note.startswith(f"{Checkpoint(self._origin, row.size, root).body()}\n")


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
        if checkpoint.size > before:
            continue
        try:
            # With the tree of nothing all agree.
            same = not checkpoint.size or tree.root_at(checkpoint.size) == checkpoint.root
        except Incomplete:
            same = False
        if same:
            verdict.anchored += 1
        else:
            _forked(verdict, [note])


def _forked(verdict: Verdict, notes: Sequence[Note]) -> None:
    for note in notes:
        said = f"FORKED 外部锚点（{note.checkpoint.size} 条）的根与数据库不符：被改写"
        verdict.find("forked", said)


def _unsealed(verdict: Verdict, allowed: Allowed, at: datetime) -> None:
    for pk, line in reading.pending():
        if line.id is None:
            verdict.find("removed", f"留痕 {pk} 在封存之前被删除", pk)
            continue
        verdict.events += 1
        if _judge(line, verdict):
            allowed.hear(line)
        if lines.time(line) > at + SKEW:
            verdict.find("clock", f"留痕 {pk} 的时间在将来", pk)
        if at - lines.time(line) > LATE:
            verdict.find("pending", f"留痕 {pk} 超过 60 秒没有封存", pk)
    for pk, line in reading.hidden():
        verdict.events += 1
        _judge(line, verdict)
        verdict.find("hidden", f"留痕 {pk} 绕过了封存", pk)


def _judge(line: Line, verdict: Verdict) -> bool:
    """Find what is the matter with a line; return whether nothing is."""
    found = list(lines.faults(line))
    for kind in found:
        verdict.find(kind, f"留痕 {line.id} {LINE[kind]}", line.id)
    return not found
