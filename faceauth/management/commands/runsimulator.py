"""Put the simulator on a port, and the merchant's side of it in a directory."""

import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from faceauth.simulator import Simulator, listen


class Command(BaseCommand):
    help = "启动微信模拟器（仅用于开发、演示和测试）"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="监听地址")
        parser.add_argument("--port", type=int, default=8001, help="监听端口")
        parser.add_argument(
            "--export",
            type=Path,
            default=Path("var/simulator"),
            metavar="DIR",
            help="密钥与商户参数（merchant.json）存放目录",
        )

    def handle(self, *_args: Any, host: str, port: int, export: Path, **_options: Any) -> None:
        simulator = Simulator.load(export)
        try:
            server = listen(simulator, host=host, port=port)
        except OSError as exc:
            raise CommandError(f"端口 {port} 无法监听：{exc.strerror}") from exc
        with server:
            simulator.export(export, base_url=server.base_url)
            for number in (signal.SIGTERM, signal.SIGINT):
                # shutdown() waits for the loop to end, and this is the loop's own thread.
                signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
            self.stdout.write(f"微信模拟器已启动：{server.base_url}，商户参数在 {export}")
            self.stdout.flush()
            server.serve_forever(poll_interval=0.1)
