"""`python -m faceauth.simulator`: WeChat on a port, the merchants' side of it in a directory."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from faceauth.simulator import Simulator, listen

PORT_TAKEN = 1


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    options = parser().parse_args(arguments)
    return serve(options.host, options.port, options.export)


def parser(parser: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """Return a parser (or the given one) that knows the options."""
    parser = parser or argparse.ArgumentParser(
        prog="python -m faceauth.simulator", description="模拟微信（仅用于开发、演示和测试）"
    )
    parser.add_argument("--host", default="127.0.0.1", help="监听的地址或主机名")
    parser.add_argument("--port", type=int, default=8001, help="监听端口；根路径是供联调查看的页面")
    parser.add_argument(
        "--export",
        type=Path,
        default=Path("var/simulator"),
        metavar="DIR",
        help="存放密钥和商户参数：merchant.json（普通商户）、partner.json（服务商）",
    )
    return parser


def serve(host: str, port: int, export: Path) -> int:
    """Serve the simulator whose keys are in `export`; return the exit status."""
    simulator = Simulator.load(export)
    try:
        server = listen(simulator, host=host, port=port)
    except OSError as exc:
        print(f"端口 {port} 无法监听：{exc.strerror}", file=sys.stderr)  # noqa: T201
        return PORT_TAKEN
    with server:
        simulator.export(export, base_url=server.base_url)
        for number in (signal.SIGTERM, signal.SIGINT):
            # shutdown() waits for the loop to end, and this is the loop's own thread.
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        said = f"模拟微信已启动：{server.base_url}，商户参数在 {export}"
        print(said, flush=True)  # noqa: T201
        server.serve_forever(poll_interval=0.1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
