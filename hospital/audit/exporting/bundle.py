"""
A copy of the trail as one file: the lines, what shows that they are the trail's, and how to check.

Whoever gets it needs nothing of ours: `verify.py` is in it, and runs on Python alone.
"""

import base64
import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from django.conf import settings

from hospital.audit import kept
from hospital.audit.checkpoint import Note
from hospital.audit.exporting import checking, proving, streams, tables
from hospital.audit.exporting.selecting import NotSealed, Range, Selection
from hospital.audit.exporting.streams import Extent, Row
from hospital.audit.exporting.zipped import Archive
from hospital.audit.log import Anchor, Checkpoint
from hospital.audit.merkle import leaf_hash
from hospital.audit.sequencing import tombstone
from hospital.audit.tree import Tree
from hospital.errors import Refusal

View = Literal["csv", "xlsx"]
Told = Callable[[int, int], None]  # how many of how many

FORMAT: Final = "trail-copy/1"
_HERE: Final = Path(__file__).parent
_PROVES: Final = {
    "range": "完整：区间内每一条都在，一条不少，次序与封存时相同",
    "filtered": "真实：每一条都在留痕之中；不能证明没有遗漏",
}
# Of a range in which lines are redacted: in the copy alone such a line and a hidden one look alike.
_COVERED: Final = "位置连续：区间内每个序号都在；只有散列的各条是否由医院依规遮盖，这一份不能证明"
_WITNESS: Final = "witness"  # the sink of cosignatures that came later
_REDACTED: Final = b'{"redacted":"'


class NothingFound(Refusal):
    code = "nothing_found"
    message = "没有符合条件的留痕"


class Missing(Refusal):
    """A line is not there, and nobody removed it by the rules."""

    code = "missing"

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def __str__(self) -> str:
        return f"序号 {self.place} 的留痕不在数据库里：先核验留痕（verifyaudit）"


class Removed(Refusal):
    """The range reaches into what was archived and removed; the text names the archive."""

    code = "removed"

    def __init__(self, start: int, end: int, archive: str) -> None:
        super().__init__()
        self.start, self.end, self.archive = start, end, archive

    def __str__(self) -> str:
        return f"序号 {self.start} 至 {self.end - 1} 的留痕已归档清理，见归档文件 {self.archive}"


@dataclass(frozen=True)
class Written:
    """
    What was written: digests of the whole file in hex, lines in it, its length in bytes.

    :param note: the checkpoint in it, as it was signed
    """

    sha256: str
    sm3: str
    rows: int
    size: int
    note: str


def write(
    path: Path,
    *,
    selection: Selection,
    manifest_facts: dict[str, Any],
    progress: Told = lambda _done, _all: None,
    views: Collection[View] = (),
) -> Written:
    """
    Write the copy to `path`, which is whole or not there; only its owner can read it.

    :param manifest_facts: what the manifest states besides: who asked, for what, when
    :param progress: told of lines, over all files; an exception of its ends the work
    :raises NotSealed: the range reaches beyond the last checkpoint
    :raises NothingFound, Missing, Removed:
    :raises OSError: there is no room
    """
    checkpoint = Checkpoint.objects.order_by("-size").first()
    if checkpoint is None or (isinstance(selection, Range) and selection.end > checkpoint.size):
        raise NotSealed
    if isinstance(selection, Range):
        refuse_removed(selection)
    extent = streams.extent(selection, size=checkpoint.size)
    if extent is None:
        raise NothingFound
    scanned = extent.last - extent.first + 1
    told = _Told(progress, scanned + extent.count * len(views))
    with _beside(path) as unfinished:
        with Archive.created(unfinished) as archive:
            writing = _Writing(archive, selection, extent, checkpoint, told)
            rows = writing.fill(views, manifest_facts)
        found = checking.digests(unfinished)
    return Written(*found.hex(), rows, found.size, checkpoint.note)


class _Told:
    """Counts lines over all files, so that progress is one number."""

    def __init__(self, progress: Told, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total
        progress(0, total)

    def __call__(self) -> None:
        self._done += 1
        if not self._done % streams.PAGE or self._done == self._total:
            self._progress(min(self._done, self._total), self._total)


class _Writing:
    def __init__(
        self,
        archive: Archive,
        selection: Selection,
        extent: Extent,
        checkpoint: Checkpoint,
        told: _Told,
    ) -> None:
        self._archive, self._selection, self._told = archive, selection, told
        self._first, self._end, self._count = extent.first, extent.last + 1, extent.count
        self._checkpoint = checkpoint
        self._redacted = self._lost = 0

    def fill(self, views: Collection[View], facts: dict[str, Any]) -> int:
        """Write every file; return how many lines there are."""
        kind = "range" if isinstance(self._selection, Range) else "filtered"
        note = _note(self._checkpoint)
        count = self._lines_and_proof()
        proves = _COVERED if kind == "range" and self._redacted else _PROVES[kind]
        self._archive.add("checkpoint.txt", str(note).encode())
        self._archive.add("verify.py", checking.VERIFIER.read_bytes())
        readme = (
            (_HERE / "readme.txt")
            .read_text()
            .format(hospital=settings.HOSPITAL_NAME, origin=note.checkpoint.origin, proves=proves)
        )
        self._archive.add("README.txt", readme.encode())
        if "csv" in views:
            self._csv()
        if "xlsx" in views:
            self._xlsx()
        manifest = {
            "format": FORMAT,
            "system": settings.HOSPITAL_NAME,
            "origin": note.checkpoint.origin,
            "kind": kind,
            "proves": proves,
            "filters": {} if isinstance(self._selection, Range) else self._selection.stated,
            "first": self._first,
            "last": self._end - 1,
            "count": count,
            "redacted": self._redacted,
            "lost": self._lost,
            # Nobody can say whether what was removed would have answered to the filters.
            "not_searched": [] if kind == "range" else _removed(self._checkpoint.size),
            "checkpoint": {
                "size": self._checkpoint.size,
                "root": base64.b64encode(bytes(self._checkpoint.root)).decode(),
            },
            **facts,
            "files": self._archive.files,
        }
        text = json.dumps(manifest, ensure_ascii=False, indent=2)
        self._archive.add("manifest.json", f"{text}\n".encode())
        return count

    def _lines_and_proof(self) -> int:
        count, gap, place = 0, proving.Gap(), self._first
        tree = Tree()
        before = [(*one, tree.subtree(one)) for one in proving.aligned(0, self._first)]
        after = [
            (*one, tree.subtree(one)) for one in proving.aligned(self._end, self._checkpoint.size)
        ]
        # Two files grow side by side, and a zip takes one at a time.
        with self._archive.later("proof.jsonl") as proof:
            proof.writelines(map(_proven, before))
            with self._archive.entry("events.jsonl") as lines:
                for row in streams.rows(self._selection, self._first, self._end):
                    if row.place != place:
                        raise Missing(place)
                    place += 1
                    self._told()
                    line = self._line(row)
                    if line is None:
                        gap.add(row.place, row.hash)
                        continue
                    proof.writelines(map(_proven, gap.take()))
                    lines.write(line + b"\n")
                    count += 1
                    self._redacted += line.startswith(_REDACTED)
            if place != self._end:
                raise Missing(place)
            proof.writelines(map(_proven, after))
        return count

    def _line(self, row: Row) -> bytes | None:
        if row.payload is not None or not isinstance(self._selection, Range):
            return row.payload
        line = tombstone(row.event_id)  # what the notary sealed, if the event was gone by then
        if leaf_hash(line) != row.hash:
            raise Missing(row.place)
        self._lost += 1
        return line

    def _csv(self) -> None:
        with self._archive.entry("views/events.csv") as table:
            lines = tables.as_csv(self._selection, self._first, self._end)
            table.write(next(lines))
            for line in lines:
                table.write(line)
                self._told()

    def _xlsx(self) -> None:
        with self._archive.later("views/events.xlsx") as book, self._archive.scratch() as beside:
            tables.write_xlsx(book, self._rows(), beside=beside)

    def _rows(self) -> Iterator[Row]:
        for row in tables.shown(self._selection, self._first, self._end):
            yield row
            self._told()


def refuse_removed(selection: Range) -> None:
    """
    Refuse a range of which something was archived and removed.

    :raises Removed:
    """
    pruned = kept.Pruned.objects.filter(start__lt=selection.end, end__gt=selection.start)
    first = pruned.order_by("start").first()
    if first is None:
        return
    archive = kept.Archive.objects.filter(pk=first.archive).first()
    raise Removed(first.start, first.end, archive.name if archive else "（未知）")


def _removed(size: int) -> list[tuple[int, int]]:
    ranges = kept.Pruned.objects.filter(start__lt=size).order_by("start")
    return [(start, min(end, size)) for start, end in ranges.values_list("start", "end")]


def _note(checkpoint: Checkpoint) -> Note:
    """Return what was signed, with the cosignatures that came later."""
    note = Note.parse(checkpoint.note)
    late = Anchor.objects.filter(size=checkpoint.size, sink=_WITNESS).order_by("pk")
    lines = [line for one in late for line in one.receipt.splitlines(keepends=True)]
    return note.with_lines(line for line in lines if line not in note.signatures)


def _proven(subtree: proving.Hashed) -> bytes:
    start, end, hash_ = subtree
    return json.dumps([start, end, base64.b64encode(hash_).decode()]).encode() + b"\n"


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Give a file of that name its content all at once, on disk before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{path.name}.new")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
