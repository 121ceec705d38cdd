"""
The trail as a table, for people who open it with Excel or WPS: a view of the lines, no evidence.

What somebody typed may look like a formula, and a program that opens the table would run it. Such
a text gets an apostrophe in front (OWASP "CSV Injection"; full-width signs work as well).
"""

import csv
from collections.abc import Iterable, Iterator
from json import loads
from pathlib import Path
from typing import IO, Any, Final

import xlsxwriter  # type: ignore[import-untyped]
from django.db import connection
from django.utils import timezone

from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.exporting import copying, streams
from hospital.audit.exporting.selecting import Range, Selection
from hospital.audit.exporting.streams import Row
from hospital.audit.times import LATEST, moment

COLUMNS: Final = (
    "序号", "时间", "行为", "行为代码", "结果", "行为人类型", "行为人", "角色", "对象类型", "对象",
    "请求编号", "来源地址", "说明", "事实", "编号", "叶散列",
)  # fmt: skip
BOM: Final = "\ufeff".encode()  # without it Excel takes the file for GBK
SHEET_ROWS: Final = 1_048_576  # of a worksheet, its head included
CELL: Final = 32_767  # characters of a cell in a worksheet
TOO_LONG: Final = "（过长，见 events.jsonl）"
LOST: Final = "（封存前已丢失）"  # of what the notary found gone, and sealed as gone

# A sign a formula begins with, in any of its shapes, or a blank that programs skip before one.
_SIGNS: Final = "=+-@|%＝＋－＠｜％\ufe62\ufe63\ufe66\ufe6a\ufe6b\u207a\u207b\u207c\u2212"
_BLANKS: Final = "\t\n\v\f\r \u0085\u00a0\u00ad\u1680\u180e\u3000\u3164\ufeff" + "".join(
    map(chr, (*range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x2070)))
)
RISKY: Final = _SIGNS + _BLANKS
LABELS: Final = {action.value.tag: action.value.label for action in Action}


def neutral(text: str) -> str:
    """Return the text as no program takes it for a formula."""
    return f"'{text}" if text and text[0] in RISKY else text


def cells(row: Row) -> list[str]:
    """Return the row of a line; of one that is redacted or was lost only where it stood."""
    event: dict[str, Any] = loads((row.payload or b"{}").decode())
    actor, about, context = (event.get(name, {}) for name in ("actor", "object", "ctx"))
    action = event.get("action", "")
    typed = (
        action,
        event.get("outcome", ""),
        actor.get("type", ""),
        actor.get("id", ""),
        actor.get("role", ""),
        about.get("type", ""),
        about.get("id", ""),
        context.get("req", ""),
        context.get("ip", ""),
        event.get("reason", ""),
    )
    facts = canonical.line(event["facts"]) if "facts" in event else ""
    return [
        str(row.place),
        _time(event.get("t")),
        LOST if row.payload is None else LABELS.get(action, ""),
        *map(neutral, typed),
        facts,
        event.get("uid", ""),
        row.hash.hex(),
    ]


def shown(selection: Selection, start: int, end: int) -> Iterator[Row]:
    """Yield what gets a row: what was chosen, and of a range also what was lost."""
    is_range = isinstance(selection, Range)
    return (row for row in streams.rows(selection, start, end) if is_range or row.payload)


def as_csv(selection: Selection, start: int, end: int) -> Iterator[bytes]:
    """Yield the head and then a line for each chosen leaf, in UTF-8 with BOM."""
    line = csv.writer(_Straight(), lineterminator="\n").writerow
    yield BOM + line(COLUMNS)
    if connection.vendor == "postgresql":
        zone = timezone.get_default_timezone_name()
        yield from copying.table(
            selection, start, end, labels=LABELS, lost=LOST, risky=RISKY, zone=zone
        )
        return
    for row in shown(selection, start, end):
        yield line(cells(row))


def write_xlsx(file: IO[bytes], rows: Iterable[Row], *, beside: Path) -> None:
    """
    Write the table as a workbook, with as many worksheets as it takes.

    :param beside: the directory of its temporary files, not everybody's
    """
    options = {
        "constant_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "tmpdir": str(beside),
    }
    with xlsxwriter.Workbook(file, options) as book:
        sheet, at = None, SHEET_ROWS
        for row in rows:
            if sheet is None or at == SHEET_ROWS:
                sheet, at = book.add_worksheet(), 1
                sheet.write_row(0, 0, COLUMNS)
            for column, text in enumerate(cells(row)):
                sheet.write_string(at, column, text if len(text) <= CELL else TOO_LONG)
            at += 1
        if sheet is None:
            book.add_worksheet().write_row(0, 0, COLUMNS)


def _time(microseconds: object) -> str:
    if not isinstance(microseconds, int) or not 0 <= microseconds < LATEST:
        return ""
    local = moment(microseconds).astimezone(timezone.get_default_timezone())
    return local.replace(tzinfo=None).isoformat(" ", "microseconds")


class _Straight:
    """A file that keeps nothing: whoever writes a line is given it back."""

    def write(self, line: str) -> bytes:
        return line.encode()
