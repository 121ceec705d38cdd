from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospital.crypto.providers import KeyUnavailable
from hospital.privacy.erasing import verifying
from hospital.privacy.models import Erasure


class Command(BaseCommand):
    help = (
        "以从未持有密钥的新进程，尝试打开已删除患者的每一项封存内容和每一个索引；"
        f"都打不开退出码为 0，有打得开的为 {verifying.FOUND}"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "erasure", nargs="*", type=UUID, help="删除记录的编号；不写即核验全部已完成的"
        )
        parser.add_argument("--ids", action="store_true", help="只输出打得开的编号，供程序读取")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = Erasure.objects.order_by("pk")
        if options["erasure"]:
            rows = rows.filter(pk__in=options["erasure"])
            if rows.count() != len({*options["erasure"]}):
                raise CommandError("没有这个编号的删除记录", returncode=2)
        else:
            rows = rows.filter(state=Erasure.State.DONE)
        count, found = 0, 0
        for erasure in rows.iterator():
            count += 1
            try:
                left = verifying.legible(erasure)
            except KeyUnavailable as exc:
                raise CommandError(f"密钥提供方不可用：{exc.reason}，没有核验") from None
            found += bool(left)
            if left and options["ids"]:
                self.stdout.write(str(erasure.pk))
            elif left:
                self.stdout.write(f"✗ {erasure.pk}：{'、'.join(left)} 仍可读取")
        if not options["ids"]:
            self.stdout.write(f"已核验 {count:,} 项删除，其中 {found:,} 项仍可读取")
        if found:
            raise SystemExit(verifying.FOUND)
