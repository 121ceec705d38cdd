"""The directory copies lie in: nobody else writes there, and there is room."""

import shutil
import stat
from pathlib import Path
from typing import Final

from hospital.errors import Refusal

_ROW: Final = 2_000  # bytes on disk for an event, tables and what a workbook is made of included
_SPARE: Final = 64 << 20  # bytes that stay free for the others


class Exposed(Refusal):
    code = "exposed"
    message = "导出目录（EXPORTS_DIR）他人可写，请系统管理员改为 700"


class NoRoom(Refusal):
    code = "no_room"
    message = "导出目录（EXPORTS_DIR）空间不足：请缩小范围，或告知系统管理员"


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
