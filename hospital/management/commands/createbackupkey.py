from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospital.backup import identities


class Command(BaseCommand):
    help = (
        "生成一把备份私钥（文件，权限 600），并给出公钥。两组的人各自在自己的介质上生成，"
        "私钥不放在服务器上；服务器只配置公钥"
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="私钥写到哪个文件")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        try:
            public = identities.create(path)
        except FileExistsError:
            raise CommandError(
                f"{path} 已存在，未作改动：里面的私钥丢了，用它加密的备份就打不开"
            ) from None
        except OSError as exc:
            raise CommandError(f"{path} 无法写入：{exc.strerror}") from None
        self.stdout.write(public)
