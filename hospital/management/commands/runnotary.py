import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital.audit import holding, log_key, notary, running, trail

USAGE, REFUSED = 2, 3  # exit codes


class Command(BaseCommand):
    help = (
        "给留痕签名（notary）：每秒把新的留痕排定次序、封入散列树并签名；"
        "全院只有一个在工作，多余的等候"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="封存现有的即结束")
        parser.add_argument(
            "--interval", type=float, default=1.0, metavar="SECONDS", help="间隔，默认 1 秒"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        hold = holding.hold(settings.VAR_DIR)
        try:
            opened = trail.notary()
            if options["once"]:
                size = running.drain(opened, hold)
                self.stdout.write(f"已封存 {size:,} 条")
                return
            running.run(opened, hold, interval=options["interval"], stop=_stopped())
        except (trail.NotConfigured, log_key.Unusable) as exc:
            raise CommandError(str(exc), returncode=USAGE) from None
        except running.Busy:
            raise CommandError("另一个签名进程（notary）正在工作") from None
        except notary.Refused as exc:
            notary.note_refusal(exc, now=timezone.now())
            raise CommandError(
                f"已停止签名（{exc.code}）：签过 {exc.size:,} 条，现有 {exc.found:,} 条，"
                "数据库与已签名的不符；处理办法见 docs/audit.md",
                returncode=REFUSED,
            ) from None


def _stopped() -> threading.Event:
    """Return what is set by the first SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
