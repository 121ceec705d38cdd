"""This machine: room on its disks, and who else may read its secrets."""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from django.conf import settings

from hospital.operations.part import Part
from hospital.operations.verdicts import Amiss, Verdict, Words

LITTLE: Final = 0.10  # of a disk that is free
NOTHING_LEFT: Final = 0.02
_GIB: Final = 1024**3
_PLACES: Final = (
    "VAR_DIR",
    "EXPORTS_DIR",
    "ARCHIVE_DIR",
    "BACKUP_DIR",
    "ERASURE_LEDGER",
)
# Files by settings of their own; those given as NAME_FILE are found in the environment.
_SECRETS: Final = ("KEY_FILE", "NOTARY_KEY_FILE", "WORKER_KEY_FILE", "FORWARD_KEY_FILE")
_PUBLIC: Final = ("WORKER_PUBLIC_KEY_FILE", "ANCHOR_FILE", "HIS_CA_FILE", "WITNESS_CA_FILE")


@dataclass(repr=False)
class Disks(Part):
    name: ClassVar = "disks"
    label: ClassVar = Words("磁盘", "disks")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "清理或扩大该磁盘；满了以后不能建档、不能留痕",
        "free or enlarge it; where it is full nobody is registered and nothing recorded",
    )

    def run(self) -> None:
        free = {name: _free(Path(getattr(settings, name))) for name in _PLACES}
        least = min(free, key=lambda name: free[name])
        share = f"{free[least]:.0%}"
        self.told = Words(f"最少的 {least} 还有 {share}", f"the fullest, {least}, has {share} left")
        amiss = [
            (
                Verdict.BROKEN if part < NOTHING_LEFT else Verdict.DEGRADED,
                Words(f"{name} 所在磁盘只剩 {part:.0%}", f"{name} has {part:.0%} of its disk left"),
                self.remedy,
            )
            for name, part in free.items()
            if part < LITTLE
        ]
        if amiss:
            raise Amiss(*amiss)


@dataclass(repr=False)
class Secrets(Part):
    """A file of a secret is its owner's, perhaps its group's to read, and nobody else's."""

    name: ClassVar = "secrets"
    label: ClassVar = Words("密钥文件权限", "who reads secret files")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "chmod 600 该文件，目录 chmod 700，属主为运行本系统的账号",
        "chmod 600 the file and 700 the directory; it belongs to the account this runs as",
    )

    def run(self) -> None:
        amiss = [
            (Verdict.DEGRADED, Words(f"{name} {zh}", f"{name} {en}"), self.remedy)
            for name, path in _secret_files()
            for zh, en in _open_to(path)
        ]
        if amiss:
            raise Amiss(*amiss)


def _free(path: Path) -> float:
    """Return the part of its disk that is free; plenty, where as much is there in all but name."""
    while not path.exists():
        path = path.parent
    usage = shutil.disk_usage(path)
    return max(usage.free / usage.total, LITTLE if usage.free > 20 * _GIB else 0.0)


def _secret_files() -> Iterator[tuple[str, Path]]:
    named = {name: str(getattr(settings, name)) for name in _SECRETS if getattr(settings, name)}
    given = {
        name: path
        for name, path in os.environ.items()
        if name.endswith("_FILE") and name not in _PUBLIC and hasattr(settings, _bare(name))
    }
    for name, path in sorted({**given, **named}.items()):
        if Path(path).is_file():
            yield name, Path(path)
    if settings.MERCHANT_KEYS_DIR.is_dir():
        yield "MERCHANT_KEYS_DIR", settings.MERCHANT_KEYS_DIR


def _bare(name: str) -> str:
    return name.removesuffix("_FILE")


def _open_to(path: Path) -> Iterator[tuple[str, str]]:
    try:
        mode = path.stat().st_mode
    except OSError:  # not for us to look at, which is as it should be
        return
    if mode & stat.S_IRWXO:
        yield "其他账号可以读写", "is open to every account of this machine"
    if mode & stat.S_IWGRP:
        yield "同组账号可以改动", "can be changed by its group"


def machine() -> Iterator[Part]:
    yield from (Disks(), Secrets())
