from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospital.privacy.erasing import ledger, ledger_moving, standing
from hospital.privacy.erasing.ledger_file import File


class Command(BaseCommand):
    help = (
        "把删除台账从文件（ERASURE_LEDGER）搬到数据库（LEDGER_DATABASE_URL），--back 搬回文件："
        "逐行核验，原处不动；停机时运行，可重复运行"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--back", action="store_true", help="从数据库搬回文件，例如要换回旧版本的程序"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        file, table = File(settings.ERASURE_LEDGER), standing.store()
        if isinstance(table, File):
            raise CommandError("没有设置 LEDGER_DATABASE_URL，未作改动")
        source, to = (table, file) if options["back"] else (file, table)
        try:
            added = ledger_moving.move(source, to)
        except ledger.Broken:
            raise CommandError("文件和数据库中的台账对不上，或有一方被改动过，未作改动") from None
        except standing.Unreplayed as exc:
            raise CommandError(f"{exc}；请取回完整的台账文件，未作改动") from None
        except OSError as exc:
            raise CommandError(f"不能读写：{exc.strerror}。处理后再次运行同一命令") from None
        after = (
            "请去掉 LEDGER_DATABASE_URL 后再启动"
            if options["back"]
            else f"请把 {file} 收存到别处，并备份台账库"
        )
        self.stdout.write(f"已核验，搬入 {len(added):,} 行。{after}")
