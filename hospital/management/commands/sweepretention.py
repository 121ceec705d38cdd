from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital.privacy import holding, progress, sweeping
from hospital.privacy.erasing import standing
from hospital.privacy.models import RetentionRun


class Command(BaseCommand):
    help = "清理超过保存期限的数据；中断后再次运行即从中断处继续"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="只统计现在会清理多少，不作改动")
        parser.add_argument(
            "--list", action="store_true", help="与 --dry-run 同用：逐条列出类别、表和编号"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"] and not options["dry_run"]:
            raise CommandError("--list 只能与 --dry-run 同用")
        if options["dry_run"]:
            at = timezone.now()
            self._tell(sweeping.rehearse(at=at))
            for row in sweeping.listed(at=at) if options["list"] else ():
                self.stdout.write("\t".join(map(str, row)))
            return
        try:
            standing.demand_replayed()
        except standing.Unreplayed as exc:
            raise CommandError(str(exc)) from None
        holding.end_past(at=timezone.now())
        is_live = self.stdout.isatty()
        try:
            run = sweeping.sweep(clock=timezone.now, told=self._move if is_live else None)
        except (sweeping.Busy, sweeping.LeaseLost) as exc:
            raise CommandError(str(exc)) from None
        if is_live:
            self.stdout.write("\r\x1b[K", ending="")
        self._tell(run)
        if run.state == RetentionRun.State.FAILED:
            raise CommandError("有类别没有清理完，下一次清理时继续；原因见上文")

    def _move(self, run: RetentionRun) -> None:
        self.stdout.write(f"\r\x1b[K{progress.bar(run)}", ending="")
        self.stdout.flush()

    def _tell(self, run: RetentionRun) -> None:
        for one in progress.lines(run):
            real = f"已清理 {one.gone:,} / {one.due:,} 条"
            said = f"到期 {one.due:,} 条" if run.is_dry else real
            held = f"，依法保全 {one.held:,} 条" if one.held else ""
            why = f"，没有清理完（{one.refused}）" if one.refused else ""
            self.stdout.write(f"{one.label}：{said}{held}{why}")
