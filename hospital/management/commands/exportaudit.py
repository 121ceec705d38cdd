import argparse
import os
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from hospital import durable
from hospital.audit.exporting import making, requests
from hospital.audit.exporting.selecting import Filters, Range, Selection
from hospital.audit.exports import Export
from hospital.audit.recording import SYSTEM
from hospital.errors import Refusal

_ASKED: Final = 1.0  # seconds between two looks at a worker that was faster
_YEARS: Final = range(2000, 2101)
_VALUES: Final = {
    "action": "行为代码，如 auth.login",
    "actor": "行为人编号",
    "object_type": "对象类型，如 patients.patient",
    "object_id": "对象编号",
    "outcome": "success、denied 或 failed",
    "request": "请求编号",
}


class Command(BaseCommand):
    help = "导出留痕的副本：按时间或序号（能证明完整），或按条件（只证明真实）；申请与下载照样留痕"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="begin", type=_moment, metavar="TIME")
        parser.add_argument("--to", dest="end", type=_moment, metavar="TIME", help="不含")
        parser.add_argument("--start", type=int, metavar="N", help="起始序号")
        parser.add_argument("--end", dest="last", type=int, metavar="N", help="终止序号（含）")
        for name, label in _VALUES.items():
            parser.add_argument(f"--{name.replace('_', '-')}", default="", help=label)
        parser.add_argument("--purpose", required=True, choices=Export.Purpose.values)
        parser.add_argument("--reason", required=True, help="理由；写进留痕，不要写患者信息")
        parser.add_argument("--output", required=True, type=Path, metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        target: Path = options["output"]
        if target.exists():
            raise CommandError(f"{target} 已存在")
        selection = _selected(options)
        unfinished = target.with_name(f".{target.name}.new")
        try:
            # Before anything is on record: a copy is handed out once, and must have a place to go.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            descriptor = os.open(unfinished, flags, durable.PRIVATE)
        except OSError as exc:
            raise CommandError(f"{unfinished} 无法写入：{exc.strerror}") from None
        try:
            with os.fdopen(descriptor, "wb") as copy:
                export = self._exported(selection, copy, options)
            if target.exists():
                raise CommandError(f"{target} 已存在")
            unfinished.rename(target)
        except Refusal as exc:
            raise CommandError(str(exc)) from None
        except OSError as exc:
            raise CommandError(f"{target} 无法写入：{exc.strerror}") from None
        finally:
            unfinished.unlink(missing_ok=True)
        self.stdout.write(f"{export.rows:,} 条写入 {target}，SHA-256 {export.sha256}")

    def _exported(self, selection: Selection, copy: IO[bytes], options: dict[str, Any]) -> Export:
        export = requests.request(
            selection,
            purpose=options["purpose"],
            reason=options["reason"],
            by=SYSTEM,
            requested_by=requests.OPERATOR,
            at=timezone.now(),
        )
        making.make(export.pk, clock=timezone.now)
        self._wait(export)
        with closing(requests.take(export, by=SYSTEM, clock=timezone.now)) as pieces:
            copy.writelines(pieces)
        copy.flush()
        os.fsync(copy.fileno())
        return export

    def _wait(self, export: Export) -> None:
        """A worker may have been faster than we."""
        export.refresh_from_db()
        while export.state in {Export.State.QUEUED, Export.State.RUNNING}:
            time.sleep(_ASKED)
            export.refresh_from_db()
        if export.state == Export.State.FAILED:
            raise CommandError(making.PROBLEMS.get(export.problem, export.problem))


def _selected(options: dict[str, Any]) -> Selection:
    try:
        return _selection(options)
    except Refusal as exc:
        raise CommandError(str(exc)) from None


def _selection(options: dict[str, Any]) -> Selection:
    values = {name: options[name] for name in _VALUES if options[name]}
    for name, value in values.items():
        if not value.isprintable():  # a NUL, which no database takes
            raise CommandError(f"--{name.replace('_', '-')} 含有不可见字符")
    places = options["start"], options["last"]
    if places != (None, None):
        if values or options["begin"] or options["end"] or None in places:
            raise CommandError("--start 与 --end 要一起写，不能再加其他条件")
        return Range(options["start"], options["last"] + 1)
    if values:
        return Filters(begin=options["begin"], end=options["end"], **values)
    return Range.between(options["begin"], options["end"])


def _moment(text: str) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:  # well formed, and no such day
        moment = None
    if moment is None or moment.year not in _YEARS:
        raise argparse.ArgumentTypeError("时间格式不对，应如 2026-11-01 或 2026-11-01T08:30+08:00")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
