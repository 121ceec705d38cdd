"""
Making a backup: snapshot, dump, seal, read back, and only then say that there is one.

Nothing in clear touches a disk. Killed at any moment, what is left is an unfinished file that the
next run removes: the receipt, written last, makes it a backup.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from hospital import durable
from hospital.audit.actions import Action
from hospital.audit.exporting.checking import Digests, digests
from hospital.audit.recording import SYSTEM, record
from hospital.backup import describing, envelopes, identities, receipts
from hospital.backup.engines import Ground, grounds
from hospital.backup.identities import Groups
from hospital.backup.packing import Packer
from hospital.backup.receipts import Receipt, Sealed

_UNFINISHED: Final = ".part"
_NAME: Final = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}\.(data|keys)\.age")
DATABASE: Final = "database"  # the part that holds the dump
_VERSION: Final = 1


class NotConfigured(Exception):
    """A setting is missing or makes no sense; the text names it, in Chinese."""


class NotAsWritten(Exception):
    """What was read back is not what was written: the disk is not to be trusted."""


def groups() -> Groups:
    """
    Return who can open what is made from now on.

    :raises NotConfigured:
    """
    found = Groups(
        tuple(settings.BACKUP_RECIPIENTS_FIRST), tuple(settings.BACKUP_RECIPIENTS_SECOND)
    )
    if not found.first or not found.second:
        raise NotConfigured(
            "先设置 BACKUP_RECIPIENTS_FIRST 和 BACKUP_RECIPIENTS_SECOND：两组备份公钥"
            "（createbackupkey 生成）"
        )
    if found.in_both:
        raise NotConfigured("同一个公钥在两组里：一个人就能恢复，请换成两个人的")
    try:
        identities.recipients([*found.first, *found.second])
    except identities.NotPublic:
        raise NotConfigured("BACKUP_RECIPIENTS_… 里有一个不是 age 公钥（age1…）") from None
    return found


def of_day(at: datetime) -> Receipt | None:
    """Return the backup that was made on this day, if all of it is there."""
    for receipt in receipts.kept(settings.BACKUP_DIR):
        if timezone.localdate(receipt.made_at) != timezone.localdate(at):
            continue
        if all((settings.BACKUP_DIR / one.name).exists() for one in receipt.files.values()):
            return receipt
    return None


def make(*, at: datetime) -> Receipt:
    """
    Make one of everything, now. Whoever calls this sees to it that nobody else does meanwhile.

    :raises NotConfigured, Trouble, NotAsWritten:
    :raises OSError: the directory cannot be written
    """
    to, directory = groups(), settings.BACKUP_DIR
    ours = grounds()
    for ground in ours.values():
        ground.demand_tools()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _clear(directory)
    ident = f"{timezone.localtime(at):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
    files: dict[str, Sealed] = {}
    rows = 0
    trail: dict[str, Any] = {}
    # The keys last: a patient without a key cannot be read, a key without a patient is harmless.
    for kind, ground in ours.items():
        name = f"{ident}.{kind}.age"
        manifest = {"v": _VERSION, "id": ident, "kind": kind, "made_at": at.isoformat()}
        files[kind], told = _file(ground, directory / name, to=to, manifest=manifest)
        rows += sum(told["counts"].values())
        trail = told.get("trail", trail)
    receipt = Receipt(ident, at, files, to, has_keys="keys" not in ours)
    receipts.write(receipt, directory)
    with transaction.atomic():
        record(
            Action.BACKUP_MAKE,
            by=SYSTEM,
            on=None,
            at=timezone.now(),
            backup=ident,
            digest=receipt.digest,
            size=receipt.size,
            rows=rows,
            total=trail.get("size", 0),
            root=trail.get("root", ""),
        )
    return receipt


def is_beside_the_data() -> bool:
    """Whether backups are on the disk of VAR_DIR: perhaps because theirs is not mounted."""
    there, here = settings.BACKUP_DIR, settings.VAR_DIR
    return there.exists() and here.exists() and there.stat().st_dev == here.stat().st_dev


def fail(code: str, *, at: datetime) -> None:
    """Say in the trail that there is none."""
    with transaction.atomic():
        record(Action.BACKUP_FAIL, by=SYSTEM, on=None, at=at, outcome="failed", code=code)


def expire(*, at: datetime) -> int:
    """
    Remove what was promised to end by now; return how many files went.

    Files with keys end sooner. Call it where there is a newer backup: none is ever the last.
    """
    directory, gone = settings.BACKUP_DIR, 0
    for receipt in receipts.kept(directory):
        ends = {kind: receipt.made_at + _kept(kind, receipt) for kind in receipt.files}
        over = [kind for kind, end in ends.items() if end <= at]
        for kind in over:
            path = directory / receipt.files[kind].name
            gone += path.exists()
            path.unlink(missing_ok=True)
        if len(over) == len(receipt.files):
            receipt.path(directory).unlink()
    if gone:
        with transaction.atomic():
            record(Action.BACKUP_EXPIRE, by=SYSTEM, on=None, at=at, count=gone)
    return gone


def _kept(kind: str, receipt: Receipt) -> timedelta:
    has_keys = kind == "keys" or receipt.has_keys
    days = settings.BACKUP_KEYS_KEEP_DAYS if has_keys else settings.BACKUP_KEEP_DAYS
    return timedelta(days=days)


def _clear(directory: Path) -> None:
    """Remove what a run that was killed has left: files without an end, or without a receipt."""
    for path in directory.glob(f".*{_UNFINISHED}"):
        path.unlink()
    known = {one.name for receipt in receipts.kept(directory) for one in receipt.files.values()}
    for path in directory.glob("*.age"):
        if _NAME.fullmatch(path.name) and path.name not in known and not _has_receipt(path):
            path.unlink()


def _has_receipt(path: Path) -> bool:
    """Whether there is one at all: of another key it may be, and somebody's only copy."""
    return (path.parent / f"{path.name.partition('.')[0]}{receipts.ENDING}").exists()


def _file(
    ground: Ground, path: Path, *, to: Groups, manifest: dict[str, Any]
) -> tuple[Sealed, dict[str, Any]]:
    unfinished = path.with_name(f".{path.name}{_UNFINISHED}")
    try:
        with ground.snapshot() as snapshot, _written(unfinished) as (file, counted):
            told = describing.described(snapshot)
            engine = settings.DATABASES[ground.alias]["ENGINE"].rpartition(".")[2]
            first, second = map(identities.recipients, (to.first, to.second))
            with envelopes.sealing(file, first, second) as stream:
                packer = Packer(stream)
                with snapshot.dump() as dump:
                    packer.add(DATABASE, dump)
                packer.end({**manifest, "engine": engine, **told})
        sealed = _read_back(unfinished, counted)
        unfinished.replace(path)
        durable.sync(path.parent)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return Sealed(path.name, *sealed), told


class _Counting:
    """A file that knows the digests of what was written to it, and outlives who writes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digests = file, Digests()

    def write(self, data: bytes) -> int:
        self.digests.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Whoever opened it closes it."""


@contextmanager
def _written(path: Path) -> Iterator[tuple[IO[bytes], Digests]]:
    """Yield a new file, and what is counted of it; on disk when this ends."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        counting = _Counting(file)
        yield counting, counting.digests  # type: ignore[misc] # as much of a file as age needs
        file.flush()
        os.fsync(descriptor)
        # What is read back comes from the disk.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _read_back(path: Path, counted: Digests) -> tuple[int, str, str]:
    """:raises NotAsWritten:"""
    written, found = counted.hex(), digests(path)
    if found.size != counted.size or found.hex() != written:
        raise NotAsWritten
    return (counted.size, *written)
