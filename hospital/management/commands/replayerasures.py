from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital.crypto.providers import KeyUnavailable
from hospital.privacy.erasing import replaying, standing, verifying
from hospital.privacy.erasing.replaying import Outstanding

AGAIN = "再次运行同一命令即从中断处继续"


class Command(BaseCommand):
    help = "恢复备份后、恢复服务前运行：按删除台账重做备份之后的个人信息删除，并逐项核验"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="只说明要重做什么，不作改动")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._replay(is_dry=options["dry_run"])
        except standing.Unreplayed as exc:
            raise CommandError(f"{exc}；请从保管处取回完整的台账，未作改动") from None
        except replaying.StillLegible as exc:
            ids = "、".join(sorted(map(str, exc.erasures)))
            raise CommandError(f"重做后仍有内容可读，请联系安全管理员：{ids}") from None
        except verifying.NotVerified:
            raise CommandError(f"核验进程没有完成。{AGAIN}") from None
        except KeyUnavailable as exc:
            raise CommandError(f"密钥提供方不可用：{exc.reason}。{AGAIN}") from None
        except OSError as exc:
            raise CommandError(f"不能读写：{exc.strerror}。{AGAIN}") from None

    def _replay(self, *, is_dry: bool) -> None:
        todo = replaying.outstanding()
        self._describe(todo)
        if is_dry or not todo.lines:
            return
        for done, line in enumerate(replaying.replay(at=timezone.now()), start=1):
            self.stdout.write(
                f"  {done:,}/{len(todo.lines):,} 台账第 {line.mark.place:,} 行：已删除，已核验"
            )
        self.stdout.write("重做完成，可以恢复服务")

    def _describe(self, todo: Outstanding) -> None:
        if not todo.lines:
            self.stdout.write("台账与数据库一致，没有需要重做的删除")
            return
        self.stdout.write(
            f"需要重做 {len(todo.lines):,} 项删除，其中随备份恢复的密钥 {todo.keys:,} 个"
        )
