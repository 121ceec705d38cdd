import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from devices import activation
from devices.another_way import NoFallback
from devices.models import Terminal
from hospital.audit.recording import SYSTEM


class Command(BaseCommand):
    help = "为一台终端签发一次性激活码（15 分钟内有效，只显示这一次）：createactivation 终端编号"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("serial")
        parser.add_argument("--json", action="store_true", help="供脚本读取")
        parser.add_argument("--replace", action="store_true", help="终端在用时也签发，由新设备接替")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            terminal = Terminal.objects.get(serial=options["serial"])
        except Terminal.DoesNotExist:
            raise CommandError("没有这个编号的终端，请先在后台新建") from None
        if activation.is_live(terminal, at=now) and not options["replace"]:
            raise CommandError("该终端正在使用，激活后原设备立即失效；确需更换请加 --replace")
        try:
            code = activation.issue(terminal, by=SYSTEM, at=now)
        except NoFallback as exc:
            raise CommandError(str(exc)) from None
        until = now + activation.LIFETIME
        if options["json"]:
            answer = {"serial": terminal.serial, "code": code, "expires_at": until.isoformat()}
            self.stdout.write(json.dumps(answer, ensure_ascii=False))
        else:
            self.stdout.write(f"{terminal.serial} 激活码：{code}（15 分钟内有效，用后作废）")
