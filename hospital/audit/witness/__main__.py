"""`python -m hospital.audit.witness`: a witness on a port, everything it knows in a directory."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from hospital.audit.checkpoint import BadNote, Verifier
from hospital.audit.log_key import Unusable
from hospital.audit.witness.desk import Desk
from hospital.audit.witness.server import listen

FAILED = 1


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    return serve(parser().parse_args(arguments))


def parser(parser: argparse.ArgumentParser | None = None) -> argparse.ArgumentParser:
    """Return a parser (or the given one) that knows the options."""
    parser = parser or argparse.ArgumentParser(
        prog="python -m hospital.audit.witness",
        description="见证留痕的检查点：不需要数据库，运行在另一台主机上，由另一人管理",
    )
    parser.add_argument("--host", default="127.0.0.1", help="监听地址")
    parser.add_argument("--port", type=int, required=True, help="监听端口，前面须有 HTTPS")
    parser.add_argument(
        "--state", type=Path, required=True, metavar="DIR", help="密钥和已见证的检查点；须备份"
    )
    parser.add_argument("--name", required=True, help="见证方的名称，如 witness.hospital.example")
    parser.add_argument(
        "--log",
        action="append",
        default=[],
        metavar="KEY",
        help="所见证的留痕的公钥（记住一次即可）",
    )
    return parser


def serve(options: argparse.Namespace) -> int:
    """Serve as the options say; return the exit status."""
    try:
        desk = Desk.at(options.state, name=options.name)
        for log in options.log:
            desk.trust(Verifier.parse(log))
        logs = desk.logs()
        server = listen(desk, host=options.host, port=options.port)
    except Unusable as exc:
        return _say(f"见证方的密钥不能用：{exc}")
    except BadNote:
        return _say("留痕的公钥格式不对：名称+编号+base64，由 createlogkey 给出")
    except ValueError:
        return _say("名称里不能有空格和加号")
    except OSError as exc:
        return _say(f"无法启动：{exc.strerror}")
    with server:
        for number in (signal.SIGTERM, signal.SIGINT):
            # shutdown() waits for the loop to end, and this is the loop's own thread.
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        said = f"见证方已启动：端口 {server.server_port}，见证 {len(logs)} 个留痕"
        print(f"{said}，公钥 {desk.signer.verifier}", flush=True)  # noqa: T201
        server.serve_forever(poll_interval=0.1)
    return 0


def _say(what: str) -> int:
    print(what, file=sys.stderr)  # noqa: T201
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
