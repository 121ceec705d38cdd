import datetime as dt
from argparse import ArgumentTypeError
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital.audit import holding, trail
from hospital.audit.keeping import archiving, keeper
from hospital.audit.kept import Archive
from hospital.errors import Refusal


class Command(BaseCommand):
    help = (
        "把超过 TRAIL_HOT_DAYS 天的留痕写成可独立核验的归档文件（ARCHIVE_DIR），数据库里的不动；"
        "中断后再次运行即继续"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument(
            "--until",
            type=_day,
            metavar="DATE",
            help="归档这一天以前的，如 2026-01-01；不写则为 TRAIL_HOT_DAYS 天以前的",
        )
        which.add_argument(
            "--again", type=int, metavar="ID", help="把这个归档的区间重新归档（其中有留痕被遮盖后）"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not keeper.may_archive():
            raise CommandError("当前数据库账号不能归档留痕：请用清理账号（grantroles --keeper）")
        hold = holding.hold(settings.VAR_DIR, of="archive")
        try:
            with holding.alone(hold, refusal=CommandError("另一个归档进程正在工作")):
                count = self._say(self._made(**options))
        except (Refusal, trail.NotConfigured) as exc:
            raise CommandError(str(exc)) from None
        except OSError as exc:
            raise CommandError(f"写不了归档文件：{exc.strerror}") from None
        self.stdout.write(f"新归档 {count} 个文件，已归档到第 {archiving.archived():,} 条")

    def _made(self, *, until: dt.date | None, again: int | None, **_: Any) -> Iterable[Archive]:
        now, directory = timezone.now(), settings.ARCHIVE_DIR
        if again is not None:
            row = Archive.objects.filter(pk=again).first()
            if row is None:
                raise CommandError(f"没有编号为 {again} 的归档")
            return [archiving.again(row, at=now, directory=directory, told=self._progress)]
        return archiving.archive(
            until=_until(until, now), at=now, directory=directory, told=self._progress
        )

    def _say(self, made: Iterable[Archive]) -> int:
        count = 0
        for row in made:
            count += 1
            self.stdout.write(
                f"归档 {row.pk}：序号 {row.start:,} 至 {row.end - 1:,}，{row.name}，"
                f"{row.size:,} 字节，SHA-256 {row.sha256}"
            )
        return count

    def _progress(self, done: int, total: int) -> None:
        if self.stderr.isatty():
            ending = "\n" if done == total else ""
            self.stderr.write(f"\r\x1b[K{done:,} / {total:,}", ending=ending)
            self.stderr.flush()


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("日期写作 2026-01-01") from None


def _until(day: dt.date | None, now: dt.datetime) -> dt.datetime:
    if day is None:
        return now - dt.timedelta(days=settings.TRAIL_HOT_DAYS)
    return min(now, timezone.make_aware(dt.datetime.combine(day, dt.time.min)))
