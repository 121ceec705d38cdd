from argparse import ArgumentParser
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand

from hospital.operations import asking, telling
from hospital.operations.parts.configuration import configuration
from hospital.operations.parts.lagging import lagging
from hospital.operations.parts.machine import machine
from hospital.operations.parts.running import running
from hospital.operations.parts.services import services
from hospital.operations.parts.serving import serving

_PATIENCE: Final = timedelta(seconds=10)


class Command(BaseCommand):
    help = "自检：逐项检查本系统并给出处理办法；退出码 0 正常，1 有须处理的，2 有故障"
    requires_system_checks: list[str] = []  # they are among what is examined

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="以 JSON 输出，供监控读取")
        parser.add_argument("--lang", choices=("zh", "en"), default="zh", help="语言")

    def handle(self, *_args: Any, **options: Any) -> None:
        parts = [*serving(), *lagging(), *configuration(), *services(), *running(), *machine()]
        found = asking.ask(parts, patience=_PATIENCE)
        labels = {part.name: part.label for part in parts}
        if options["json"]:
            self.stdout.write(telling.as_json(found, labels, options["lang"]))
        else:
            for line in telling.lines(found, labels, options["lang"]):
                self.stdout.write(line)
        worst = max(finding.verdict for finding in found)
        if worst:
            raise SystemExit(int(worst))
