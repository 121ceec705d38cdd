from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital.his import catching_up


class Command(BaseCommand):
    help = "把 HIS 移交启用之前建档的患者列入移交（每位留痕）；中断后再次运行即继续"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="只说明有多少位，不作改动")
        parser.add_argument(
            "--rate", type=int, default=10, metavar="N", help="每秒移交多少位，默认 10"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.HIS_FHIR_URL:
            raise CommandError("没有设置 HIS_FHIR_URL，移交没有启用")
        if options["rate"] < 1:
            raise CommandError("--rate 须为正数")
        if options["dry_run"]:
            self.stdout.write(f"没有移交过的患者 {catching_up.missing().count():,} 位，未作改动")
            return
        done = 0
        for count in catching_up.catch_up(rate=options["rate"], at=timezone.now()):
            done += count
            self.stdout.write(f"已列入 {done:,} 位")
        seconds = done // options["rate"]
        self.stdout.write(f"共列入 {done:,} 位，约 {seconds // 60 + 1} 分钟内发送完")
