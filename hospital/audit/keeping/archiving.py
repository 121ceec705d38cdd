"""
Old events are copied into bundles that prove themselves, before anything may be removed.

A bundle comes first, then its proof by the bundle's own verifier in a process of its own, then the
row and the event that say there is one. Killed in between, the next run finds the file, and takes
it if it verifies. A file it did not make itself is never removed: it may be the only copy. Only
who holds the lock "archive" may work (`hospital.audit.holding`).
"""

import json
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from hospital.audit import log, trail
from hospital.audit.actions import Action
from hospital.audit.checkpoint import BadNote, Note, Verifier
from hospital.audit.exporting import bundle, checking
from hospital.audit.exporting.selecting import Range
from hospital.audit.keeping import periods
from hospital.audit.kept import Archive, Pruned
from hospital.audit.recording import SYSTEM, record
from hospital.errors import Refusal

MOST: Final = 65_536  # leaves in an archive

Told = Callable[[int, int], None]  # how many lines of how many


class Damaged(Refusal):
    """A file is not there, or not what was archived."""

    code = "archive_damaged"
    message = "归档文件缺失、损坏或未通过核验"

    def __init__(self, name: str, fault: str) -> None:
        super().__init__()
        self.name, self.fault = name, fault

    def __str__(self) -> str:
        return f"归档文件 {self.name} {self.fault}"


class Gone(Refusal):
    code = "archive_pruned"
    message = "该区间已经清理，不能重新归档"


def archive(
    *,
    until: datetime,
    at: datetime,
    directory: Path,
    told: Told = lambda _done, _all: None,
) -> Iterator[Archive]:
    """
    Archive what was signed until then, the oldest first; yield each archive when it is on record.

    :raises Damaged: what was written does not verify, or an unregistered file that was there
    :raises Refusal: events are missing from the database: see `bundle.write`
    :raises NotConfigured: the log's public key is not known
    :raises OSError: no room
    """
    _demand_key()
    start, old = archived(), periods.sealed_by(until)
    while start < old:
        path, proved = _orphan(directory, start) or _made(
            _path(directory, start, min(start + MOST, old)),
            Range(start, min(start + MOST, old)),
            at=at,
            told=told,
        )
        yield _register(path, proved, at)
        start = proved.end


def again(row: Archive, *, at: datetime, directory: Path, told: Told) -> Archive:
    """
    Archive the same leaves anew, as they are now: one of them may have been redacted.

    :raises Gone: they were pruned
    :raises: as `archive`
    """
    _demand_key()
    if Pruned.objects.filter(start__lt=row.end, end__gt=row.start).exists():
        raise Gone
    copy = Archive.objects.filter(start=row.start, end=row.end).count() + 1
    path = _path(directory, row.start, row.end, copy)
    return _register(*_made(path, Range(row.start, row.end), at=at, told=told), at)


def archived() -> int:
    """Return how many of the oldest events are archived."""
    return int(Archive.objects.aggregate(last=Max("end"))["last"] or 0)


def verify(row: Archive) -> None:
    """
    Read an archive once more: its digest, its lines, its proof, the signature, and whose it is.

    :raises Damaged:
    :raises NotConfigured: the log's public key is not known
    """
    _demand_key()
    path = Path(settings.ARCHIVE_DIR) / row.name
    try:
        digests = checking.digests(path)
    except OSError as exc:
        raise Damaged(row.name, f"读不到（{type(exc).__name__}）") from None
    if digests.hex()[0] != row.sha256:
        raise Damaged(row.name, "的 SHA-256 与归档时不符")
    if _proved(path) != _Proved(row.start, row.end, bytes(row.root)):
        raise Damaged(row.name, "说的不是这个区间")


class _Proved(NamedTuple):
    """What a bundle was shown to hold: a range, under a root that the log signed."""

    start: int
    end: int
    root: bytes


def _made(path: Path, range_: Range, *, at: datetime, told: Told) -> tuple[Path, _Proved]:
    if path.exists():
        _set_aside(path)  # what is written next would take its place
    facts = {"purpose": "archive", "generated_at": at.isoformat()}
    bundle.write(path, selection=range_, manifest_facts=facts, progress=told)
    try:
        return path, _proved(path)
    except Damaged:
        path.unlink()
        raise


def _register(path: Path, proved: _Proved, at: datetime) -> Archive:
    start, end, root = proved
    digests = checking.digests(path)
    sha256, sm3 = digests.hex()
    with transaction.atomic():
        row: Archive = Archive.objects.create(
            start=start,
            end=end,
            root=root,
            name=path.name,
            size=digests.size,
            sha256=sha256,
            sm3=sm3,
            at=at,
        )
        record(
            Action.AUDIT_ARCHIVE,
            by=SYSTEM,
            on=row,
            at=at,
            start=start,
            end=end,
            root=root.hex(),
            sha256=sha256,
            sm3=sm3,
        )
    return row


def _proved(path: Path) -> _Proved:
    """:raises Damaged: it does not show that it holds a range of our log"""
    try:
        with zipfile.ZipFile(path) as zipped:
            note = Note.parse(zipped.read("checkpoint.txt").decode())
            manifest = json.loads(zipped.read("manifest.json"))
        checkpoint = note.checkpoint
        found = _Proved(int(manifest["first"]), int(manifest["last"]) + 1, checkpoint.root)
        is_range = manifest["kind"] == "range"
    except (OSError, LookupError, TypeError, ValueError, BadNote, zipfile.BadZipFile) as exc:
        raise Damaged(path.name, f"打不开（{type(exc).__name__}）") from None
    keys = [
        str(one) for one in _known() if one.name == checkpoint.origin and note.is_signed_by(one)
    ]
    ours = log.Checkpoint.objects.filter(size=checkpoint.size, root=checkpoint.root)
    if not keys:
        raise Damaged(path.name, "里的检查点没有已知公钥（TRAIL_VERIFIERS）的签名")
    if not is_range or not ours.exists():
        raise Damaged(path.name, "里的检查点不在数据库里，或内容不是连续区间")
    try:
        checking.verify(path, keys=keys[:1])
    except checking.Unverified as exc:
        raise Damaged(path.name, f"未通过核验：{exc}") from None
    return found


def _path(directory: Path, start: int, end: int, copy: int = 1) -> Path:
    again = f".{copy}" if copy > 1 else ""
    return directory / f"trail-{start:012d}-{end:012d}{again}.zip"


def _orphan(directory: Path, start: int) -> tuple[Path, _Proved] | None:
    """
    Return a file that was finished and never registered.

    :raises Damaged: it does not verify, and has another name now
    """
    for path in sorted(directory.glob(f"trail-{start:012d}-*.zip")):
        if Archive.objects.filter(name=path.name).exists():
            continue
        try:
            proved = _proved(path)
            if proved.start != start:
                raise Damaged(path.name, "说的不是这个区间")  # noqa: TRY301
        except Damaged as exc:
            aside = _set_aside(path)
            raise Damaged(
                path.name,
                f"{exc.fault}。它没有登记，可能是唯一的副本：已改名为 {aside.name}，没有删除；"
                "查明原因后再归档",
            ) from None
        return path, proved
    return None


def _set_aside(path: Path) -> Path:
    """Give a file a name under which nobody looks for an archive, nor is there another."""
    aside = path.with_name(f"{path.name}.rejected")
    count = 1
    while aside.exists():
        count += 1
        aside = path.with_name(f"{path.name}.{count}.rejected")
    return path.rename(aside)


def _known() -> list[Verifier]:
    return [one for one in trail.verifiers() if not one.is_witness]


def _demand_key() -> None:
    if not _known():
        raise trail.NotConfigured("先设置 TRAIL_VERIFIERS：没有留痕的公钥，归档无法核验")
