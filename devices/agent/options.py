"""The command line of the terminal's program."""

import argparse
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from devices.agent import keys
from devices.agent.visit import Mounting
from devices.sdk import Proxy, Window, versions

SIMULATED = "simulated:"


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m devices.agent", description="刷脸终端程序")
    parser.add_argument(
        "--server",
        required=True,
        type=_server,
        metavar="URL",
        help="医院服务器地址：https，本机可用 http",
    )
    parser.add_argument(
        "--state", required=True, type=Path, metavar="DIR", help="密钥与激活信息目录"
    )
    parser.add_argument("--activate", default="", metavar="CODE", help="后台生成的一次性激活码")
    parser.add_argument(
        "--algorithm",
        choices=get_args(keys.Algorithm),
        default="ecdsa-p256-sha256",
        help="激活时生成的密钥种类",
    )
    parser.add_argument(
        "--sdk",
        default=f"{SIMULATED}http://127.0.0.1:8001",
        metavar="simulated:URL | PATH",
        help="模拟微信的地址，或人脸组件动态库的路径",
    )
    parser.add_argument(
        "--recognise", action="store_true", help="只识别已建档患者，不建档，不查询实名"
    )
    parser.add_argument(
        "--once", action="store_true", help="只接待一位；建档（或识别）成功则退出码为 0"
    )
    parser.add_argument("--json", action="store_true", help="每位一行 JSON，过程改写到标准错误")
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="SECONDS", help="两位之间的间隔秒数"
    )
    parser.add_argument(
        "--kiosk",
        type=int,
        metavar="PORT",
        help="在 127.0.0.1 的这个端口为患者显示页面；0 为任一空闲端口",
    )
    parser.add_argument("--person", default="", metavar="ID", help="模拟器中的人员编号（仅模拟）")
    _add_mounting(parser)
    parser.add_argument("--rotate-key", action="store_true", help="启动时先更换终端密钥")
    parser.add_argument(
        "--rotate-every",
        type=float,
        default=90.0,
        metavar="DAYS",
        help="密钥用满多少天后自动更换；0 为不自动更换",
    )
    options = parser.parse_args(arguments)
    if options.kiosk is not None and options.once:
        parser.error("--kiosk 不与 --once 同用：患者来不及看结果")
    return options


def _add_mounting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sdk-version",
        type=_version,
        default="",
        metavar="1.26",
        help="人脸组件的版本；填写后，组件不支持的功能不会被调用",
    )
    parser.add_argument(
        "--aggregate", action="store_true", help="与其他刷脸平台共用摄像头：每位之后释放"
    )
    parser.add_argument(
        "--proxy",
        type=_proxy,
        metavar="IP:PORT",
        help="刷脸服务使用的代理；用户名与密码见 --proxy-login",
    )
    parser.add_argument(
        "--proxy-type", type=int, choices=(0, 1, 2, 3), help="1 HttpTunnel，2 Socks5，3 Http"
    )
    parser.add_argument(
        "--proxy-login",
        type=_login,
        default=("", ""),
        metavar="FILE",
        help="代理的用户名与密码，各占一行",
    )
    parser.add_argument(
        "--rotation",
        type=int,
        choices=(0, 1, 2, 3),
        default=0,
        help="摄像头画面旋转：1 为 +90 度，2 为 180 度，3 为 -90 度",
    )
    parser.add_argument(
        "--screen-index", type=_positive, metavar="N", help="微信界面所在屏幕，主屏为 1"
    )
    parser.add_argument("--no-focus", action="store_true", help="微信界面不取得焦点（仅识别）")
    parser.add_argument("--no-keyboard", action="store_true", help="微信界面不接受键盘（仅建档）")


def _server(url: str) -> str:
    """Return the address: what the server answers about patients is not sent in the clear."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise argparse.ArgumentTypeError("不是网址") from None
    if not host or parts.scheme not in {"http", "https"}:
        raise argparse.ArgumentTypeError("不是网址")
    if parts.scheme == "http" and not _is_loopback(host):
        raise argparse.ArgumentTypeError("须为 https；只有本机可用 http")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def mounting(options: argparse.Namespace) -> Mounting:
    """Return how this box is mounted, as the command line says."""
    window = Window(
        screen_index=options.screen_index,
        no_focus=options.no_focus,
        no_keyboard=options.no_keyboard,
    )
    return Mounting(
        proxy=options.proxy and _with_login(options.proxy, options),
        camera_rotation=options.rotation,
        window=window,
    )


def _proxy(text: str) -> Proxy:
    ip, _, port = text.rpartition(":")
    if not (ip and port.isascii() and port.isdigit()):
        raise argparse.ArgumentTypeError("应为 IP:端口")
    return Proxy(ip=ip, port=port)


def _login(path: str) -> tuple[str, str]:
    # In a file: a command line is in the list of processes for everybody to read.
    try:
        user, passwd = Path(path).read_text().splitlines()
    except (OSError, ValueError):
        raise argparse.ArgumentTypeError("应是可读的两行：用户名、密码") from None
    return user, passwd


def _with_login(proxy: Proxy, options: argparse.Namespace) -> Proxy:
    user, passwd = options.proxy_login
    return replace(proxy, user=user, passwd=passwd, type=options.proxy_type)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("应为 1 或更大的整数")
    return int(text)


def _version(text: str) -> str:
    try:
        if text:
            versions.number(text)
    except ValueError:
        raise argparse.ArgumentTypeError("应为 1.26 这样的版本号") from None
    return text
