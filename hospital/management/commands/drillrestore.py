from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospital.backup import asking, drilling


class Command(BaseCommand):
    help = (
        "恢复演练：把一份备份真的恢复到临时的库，核对后删除，结果记入留痕。不影响服务，每季度一次"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        asking.add(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        with asking.answered():
            one = asking.source(options)
            found = drilling.drill(one, told=lambda text: self.stdout.write(f"  {text}"))
        for line in asking.described(found):
            self.stdout.write(line)
        if found["findings"]:
            raise CommandError("备份能恢复，但其中的留痕核验有异常：运行 verifyaudit 查明")
        self.stdout.write(
            f"演练通过：备份 {one.receipt.id}，用时 {found['seconds']} 秒，已记入留痕"
        )
