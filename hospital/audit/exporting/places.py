"""
Where a worker makes a copy: a directory of its own, which no other host has to see.

The finished copy goes into the database (`storing`), and its file here is removed.
"""

import re
import shutil
import stat
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.conf import settings

from hospital.audit.exporting.zipped import SCRATCH
from hospital.audit.exports import Export
from hospital.errors import Refusal

ORPHANED: Final = timedelta(hours=6)  # no attempt writes that long into a file
_ROW: Final = 2_000  # bytes on disk for an event, tables and what a workbook is made of included
_SPARE: Final = 64 << 20  # bytes that stay free for the others
_ID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Names of a copy, of one that is being written, and of what waits to be put into it.
_OURS: Final = re.compile(rf"{_ID}-\d+\.zip|\.{_ID}-\d+\.zip\.new(\.proof\.jsonl|\.events\.xlsx)?")
_OUR_SCRATCH: Final = re.compile(rf"\.{_ID}-\d+\.zip\.new{re.escape(SCRATCH)}")


class Exposed(Refusal):
    code = "exposed"
    message = "工作进程的导出目录（EXPORTS_DIR）他人可写，请系统管理员改为 700"


class NoRoom(Refusal):
    code = "no_room"
    message = "工作进程的导出目录（EXPORTS_DIR）空间不足：请缩小范围，或告知系统管理员"


def path_of(export: Export) -> Path:
    """Return where its file is made: each attempt has its own, so that no two write into one."""
    directory: Path = settings.EXPORTS_DIR
    return directory / f"{export.pk}-{export.attempts}.zip"


def refuse_exposed(directory: Path) -> None:
    """
    Refuse a directory in which others could put a file of theirs for ours; none yet is fine.

    :raises Exposed:
    """
    if directory.exists() and stat.S_IMODE(directory.stat().st_mode) & 0o022:
        raise Exposed


def refuse_full(directory: Path, *, rows: int) -> None:
    """
    Refuse what will hardly fit.

    :raises NoRoom:
    """
    there = next(one for one in (directory, *directory.parents) if one.exists())
    if shutil.disk_usage(there).free < rows * _ROW + _SPARE:
        raise NoRoom


def remove_left(*, at: datetime) -> None:
    """Remove what a worker that was killed left behind on this host."""
    for path in settings.EXPORTS_DIR.glob("*"):
        with suppress(OSError):  # the next sweep tries again
            found = path.lstat()
            if found.st_mtime >= (at - ORPHANED).timestamp():
                continue
            if stat.S_ISREG(found.st_mode) and _OURS.fullmatch(path.name):
                path.unlink()
            elif stat.S_ISDIR(found.st_mode) and _OUR_SCRATCH.fullmatch(path.name):
                shutil.rmtree(path)
