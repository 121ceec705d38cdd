import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hospital.audit import holding, trail
from hospital.audit.forwarding import configured, running
from hospital.audit.forwarding.leaves import Damaged
from hospital.audit.forwarding.wire import Away

USAGE = 2  # exit code


class Command(BaseCommand):
    help = "外发：把已封存的留痕按次序经 TLS 发给日志服务器；全院只有一个在工作，多余的等候"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="发完现有的并得到确认即结束")

    def handle(self, *args: Any, **options: Any) -> None:
        hold = holding.hold(settings.VAR_DIR, of="forward")
        try:
            configured.forwarder()  # what is wrong with the settings is said before the lock is had
            if options["once"]:
                running.drain(configured.forwarder, hold)
                self.stdout.write("已发完，接收方的 TLS 端已读完")
                return
            running.run(configured.forwarder, hold, stop=_stopped())
        except trail.NotConfigured as exc:
            raise CommandError(str(exc), returncode=USAGE) from None
        except running.Busy:
            raise CommandError("另一个外发进程正在工作") from None
        except (Away, Damaged) as exc:
            raise CommandError(
                f"没有发完（{exc.code}），见 docs/audit-forwarding.md；未确认的下次重发"
            ) from None


def _stopped() -> threading.Event:
    """Return what is set by the first SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
