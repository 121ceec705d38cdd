from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from hospital.audit import holding
from hospital.backup import identities, making, opening, receipts
from hospital.backup.engines import Trouble
from hospital.backup.envelopes import Damaged, WrongIdentity
from hospital.backup.receipts import Receipt


class Command(BaseCommand):
    help = (
        "备份数据库到 BACKUP_DIR：加密给两组人，写完读回核对，再清理到期的。"
        "一天一份，当天已有则不再做；中断后再次运行即可"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--again", action="store_true", help="当天已有也再做一份")
        parser.add_argument(
            "--verify",
            type=Path,
            metavar="RECEIPT",
            help="不做备份，核对一份已有的（….receipt.json）：文件与回执是否一致",
        )
        parser.add_argument(
            "--identity",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="与 --verify 同用：两组各一把私钥，连内容一起核对",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verify"]:
            self._verify(options["verify"], options["identity"])
            return
        try:
            self._alone(is_again=options["again"])
        except DatabaseError:
            raise CommandError(
                "数据库连接不上，或写不了留痕：没有做备份，或做了没有留痕；恢复后加 --again 再运行"
            ) from None

    def _alone(self, *, is_again: bool) -> None:
        hold = holding.hold(settings.VAR_DIR, of="backup")
        with holding.alone(hold, refusal=CommandError("另一个备份正在进行")):
            self._make(is_again=is_again)

    def _make(self, *, is_again: bool) -> None:
        now = timezone.now()
        receipt = None if is_again else making.of_day(now)
        if receipt:
            self.stdout.write(f"今天已有备份 {receipt.id}")
        else:
            receipt = self._made()
            self._tell(receipt)
        if settings.DEPLOY_LEVEL != "demo" and making.is_beside_the_data():
            self.stdout.write("注意：BACKUP_DIR 和 VAR_DIR 在同一块磁盘：备份盘是否没有挂上？")
        if gone := making.expire(at=timezone.now()):
            self.stdout.write(f"到期删除 {gone} 个文件")
        if strange := receipts.strange(settings.BACKUP_DIR):
            names = "、".join(path.name for path in strange)
            self.stdout.write(f"不是本系统的回执，没有处理，请人工查明：{names}")

    def _made(self) -> Receipt:
        try:
            return making.make(at=timezone.now())
        except making.NotConfigured as exc:
            raise CommandError(str(exc)) from None
        except Trouble as exc:
            making.fail("trouble", at=timezone.now())
            raise CommandError(str(exc)) from None
        except making.NotAsWritten:
            making.fail("not_as_written", at=timezone.now())
            raise CommandError("读回的和写入的不一致：磁盘不可靠，备份作废") from None
        except OSError as exc:
            making.fail("storage", at=timezone.now())
            raise CommandError(f"写不了备份文件：{exc.strerror}") from None

    def _tell(self, receipt: Receipt) -> None:
        for one in receipt.files.values():
            self.stdout.write(f"{one.name}，{one.size:,} 字节，SHA-256 {one.sha256}")
        self.stdout.write(f"备份 {receipt.id} 已完成并读回核对，摘要 {receipt.digest}")

    def _verify(self, path: Path, files: list[Path]) -> None:
        try:
            receipt = receipts.read(path)
            receipts.demand_whole(receipt, path.parent)
            if files:
                keys = opening.pair(receipt, [identities.load(one) for one in files])
                for kind in receipt.files:
                    opening.manifest_of(receipt, kind, path.parent, keys)
        except receipts.Forged:
            raise CommandError(f"{path} 不是本系统的回执，或 AUDIT_MAC_KEY 不同") from None
        except (Damaged, WrongIdentity):
            raise CommandError("备份文件残缺或被改动") from None
        except (opening.NotTwo, identities.Unusable) as exc:
            raise CommandError(str(exc)) from None
        except OSError as exc:
            raise CommandError(f"{exc.filename} 无法读取：{exc.strerror}") from None
        depth = "文件和内容" if files else "文件（内容须两把私钥才能核对）"
        self.stdout.write(f"备份 {receipt.id} 完好：已核对{depth}，摘要 {receipt.digest}")
