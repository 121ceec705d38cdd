"""`python -m faceauth.simulator`, for who is at `manage.py` already."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from faceauth.simulator import __main__ as simulator


class Command(BaseCommand):
    help = "启动模拟微信（仅用于开发、演示和测试）"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        simulator.parser(parser)

    def handle(self, *_args: Any, host: str, port: int, export: Path, **_options: Any) -> None:
        sys.exit(simulator.serve(host, port, export))
