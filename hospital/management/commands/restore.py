from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital.backup import asking, restoring


class Command(BaseCommand):
    help = (
        "恢复一份备份：载入到旁边的库，迁移、重做其后的删除、核验留痕，全部完成才就位。"
        "先停止所有进程；中断后再次运行同一命令"
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        asking.add(parser)
        parser.add_argument(
            "--replace",
            action="store_true",
            help="现有数据库里有内容也恢复：须两人已批准，原来的改名保留",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with asking.answered():
            one = asking.source(options)
            found = restoring.restore(
                one,
                replace=options["replace"],
                at=timezone.now(),
                told=lambda text: self.stdout.write(f"  {text}"),
            )
        for line in asking.described(found):
            self.stdout.write(line)
        for name in found["before"].values():
            self.stdout.write(f"原来的数据库保留为 {name}，确认无误后由数据库管理员删除")
        if found["findings"]:
            raise CommandError("已恢复，但备份中的留痕核验有异常：先运行 verifyaudit 查明，再启动")
        self.stdout.write(
            f"备份 {one.receipt.id} 已恢复。留痕已签名到第 {found['total']:,} 条；"
            "签名进程（notary）如拒绝（smaller），须另起一册（TRAIL_ORIGIN）。"
            "账号已分开的，先运行 grantroles，再启动各进程"
        )
