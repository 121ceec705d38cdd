"""`python -m devices.agent`: the terminal's program, real camera or simulated."""

import argparse
import json
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import httpx

from devices.agent import activation, keys, people
from devices.agent.api import Problem, Server, Unreachable
from devices.agent.loop import attempt, beat, describe, run
from devices.agent.visit import Say, Terminal, Visit
from devices.sdk import FaceSDK, Library
from devices.sdk.binding import CLibrary
from devices.sdk.errors import SDKError
from devices.sdk.simulated import SimulatedLibrary

SIMULATED = "simulated:"
DONE, NOT_DONE, UNUSABLE = 0, 1, 2


def main(
    arguments: list[str] | None = None, *, transport: httpx.BaseTransport | None = None
) -> int:
    """
    Run the command line; return its exit status.

    :param transport: in place of the network, for server and simulator alike
    """
    options = _parse(arguments)
    say = _teller(to_stderr=options.json)
    try:
        return _work(options, say, transport)
    except KeyboardInterrupt:
        say("已停止")
        return DONE if not options.once else NOT_DONE
    except activation.NotActivated:
        print("终端尚未激活：请用 --activate 激活码", file=sys.stderr)
    except keys.UnusableKey:
        print("终端密钥已损坏：请用 --activate 重新激活", file=sys.stderr)
    except (Problem, Unreachable) as exc:
        print(f"激活失败：{describe(exc)}", file=sys.stderr)
    except SDKError as exc:
        print(f"{exc}（{exc.code}）", file=sys.stderr)
    return UNUSABLE


def _work(options: argparse.Namespace, say: Say, transport: httpx.BaseTransport | None) -> int:
    connect = activation.connector(options.server, transport=transport)
    guests, library, sdk_version = _lobby(options, say, transport)
    identity = _identify(options, connect, say=say, sdk_version=sdk_version)
    say(f"终端 {identity.serial}（{identity.store}）")
    wire = connect(identity.auth())
    server = Server(wire)
    terminal = Terminal(server, FaceSDK(library), say=say)
    report = _print_json if options.json else _ignore
    try:
        if options.once:
            beat(terminal, server, sdk_version=sdk_version, say=say)
            return _once(terminal, guests, say=say, report=report, recognise=options.recognise)
        run(
            terminal,
            server,
            guests,
            every=options.every,
            sdk_version=sdk_version,
            say=say,
            report=report,
            recognise=options.recognise,
        )
    finally:
        terminal.close()
        wire.close()
    return DONE


def _once(
    terminal: Terminal,
    guests: people.Guests,
    *,
    say: Say,
    report: Callable[[Visit], None],
    recognise: bool,
) -> int:
    if not guests.arrive():
        return NOT_DONE
    visit, _ = attempt(terminal, guests, say=say, recognise=recognise)
    report(visit)
    if visit.state == ("recognised" if recognise else "onboarded"):
        return DONE
    what = "未识别" if recognise else "未建档"
    print(f"{what}：{visit.reason or visit.state}", file=sys.stderr)
    return NOT_DONE


def _identify(
    options: argparse.Namespace, connect: activation.Connect, *, say: Say, sdk_version: str
) -> activation.Identity:
    if not options.activate:
        return activation.recall(options.state)
    try:
        return activation.activate(
            options.state,
            options.activate,
            connect=connect,
            algorithm=options.algorithm,
            sdk_version=sdk_version,
        )
    except Problem as exc:
        # Started again with the same command line: the code was used the first time.
        try:
            identity = activation.recall(options.state)
        except activation.NotActivated:
            raise exc from None
        say(f"激活码未被接受（{exc.code}），沿用已有的激活")
        return identity


def _lobby(
    options: argparse.Namespace, say: Say, transport: httpx.BaseTransport | None
) -> tuple[people.Guests, Library, str]:
    if not options.sdk.startswith(SIMULATED):
        return people.AtConsole(say), CLibrary(Path(options.sdk)), "unknown"
    crowd = people.Synthetic(_people(options))
    url = options.sdk.removeprefix(SIMULATED)
    return crowd, SimulatedLibrary(url, crowd.face, transport=transport), "simulated"


def _people(options: argparse.Namespace) -> Iterator[people.Person]:
    if options.person:
        return iter([people.Person(options.person)])
    if options.once:
        return iter([people.stranger()])
    return people.passers_by(random.Random())


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devices.agent", description="刷脸终端程序")
    parser.add_argument("--server", required=True, metavar="URL", help="医院服务器地址")
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
        help="微信模拟器地址，或人脸组件动态库的路径",
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
    parser.add_argument("--person", default="", metavar="ID", help="模拟器中的人员编号（仅模拟）")
    return parser.parse_args(arguments)


def _teller(*, to_stderr: bool) -> Say:
    def say(text: str) -> None:
        print(text, file=sys.stderr if to_stderr else sys.stdout, flush=True)

    return say


def _print_json(visit: Visit) -> None:
    line = {"state": visit.state, "patient": visit.patient or None, "seconds": visit.seconds}
    print(json.dumps(line), flush=True)


def _ignore(_visit: Visit) -> None:
    """Each step has been told already."""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop releases the camera
    sys.exit(main())
