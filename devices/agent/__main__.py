"""`python -m devices.agent`: the terminal's program, real camera or simulated."""

import argparse
import itertools
import json
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from devices.agent import activation, keys, people, rotation
from devices.agent.api import Problem, Server, Unreachable
from devices.agent.console import Console
from devices.agent.kiosk import Board, PortTaken, serving
from devices.agent.loop import attempt, run
from devices.agent.options import SIMULATED, mounting, parse
from devices.agent.upkeep import Upkeep, describe
from devices.agent.visit import Say, Terminal, Visit
from devices.sdk import FaceSDK, Library, versions
from devices.sdk.binding import CLibrary
from devices.sdk.errors import SDKError
from devices.sdk.simulated import SimulatedLibrary

DONE, NOT_DONE, UNUSABLE = 0, 1, 2


def main(
    arguments: list[str] | None = None, *, transport: httpx.BaseTransport | None = None
) -> int:
    """
    Run the command line; return its exit status.

    :param transport: in place of the network, for server and simulator alike
    """
    options = parse(arguments)
    say = _teller(to_stderr=options.json)
    try:
        with _kiosk(options, say) as board:
            return _work(options, say, transport, board)
    except KeyboardInterrupt:
        say("已停止")
        return DONE if not options.once else NOT_DONE
    except activation.NotActivated:
        print("终端尚未激活：请用 --activate 激活码", file=sys.stderr)
    except keys.UnusableKey:
        print("终端密钥已损坏：请用 --activate 重新激活", file=sys.stderr)
    except (Problem, Unreachable) as exc:
        print(f"激活或更换密钥失败：{describe(exc)}", file=sys.stderr)
    except SDKError as exc:
        print(f"{exc}（{exc.code}）", file=sys.stderr)
    except PortTaken as exc:
        print(f"页面的端口不可用：{exc}", file=sys.stderr)
    return UNUSABLE


@contextmanager
def _kiosk(options: argparse.Namespace, say: Say) -> Iterator[Board | None]:
    if options.kiosk is None:
        yield None
        return
    board = Board()
    with serving(board, port=options.kiosk) as server:
        say(f"患者页面：{server.url}")
        yield board


def _work(
    options: argparse.Namespace,
    say: Say,
    transport: httpx.BaseTransport | None,
    board: Board | None,
) -> int:
    if options.recognise:
        versions.check(options.sdk_version, "getWxpayfaceUserInfo")
    else:
        versions.check(options.sdk_version, "getWxpayAuth", {"quit_face_auth"})
    connect = activation.connector(options.server, transport=transport)
    guests, library, sdk_version = _lobby(options, say, transport, board)
    identity = _identify(options, connect, say=say, sdk_version=sdk_version)
    say(f"终端 {identity.serial}（{identity.store}）")
    auth = identity.auth()
    wire = connect(auth)
    server = Server(wire)
    console = None if board else _console(options)
    terminal = Terminal(
        server,
        FaceSDK(library, version=options.sdk_version, clock=auth.now),
        say=say,
        screen=board or console,
        mounting=mounting(options),
        aggregate=options.aggregate,
    )
    keychain = rotation.Rotation(options.state, server, auth, every=options.rotate_every, say=say)
    upkeep = Upkeep(
        terminal,
        server,
        sdk_version=sdk_version,
        say=say,
        state=options.state,
        wipe=console.wipe if console else None,
        after_beat=keychain.consider,
    )
    report = _print_json if options.json else _ignore
    try:
        if options.rotate_key:
            rotation.rotate(options.state, server, auth)
            say("已更换终端密钥")
        if options.once:
            terminal.tidy()
            upkeep.beat()
            return _once(terminal, guests, say=say, report=report, recognise=options.recognise)
        run(
            terminal,
            guests,
            upkeep,
            every=0 if board else options.every,
            say=say,
            report=report,
            recognise=options.recognise,
        )
    finally:
        if console:
            console.wipe()  # nobody will be here to do it in a minute
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
    options: argparse.Namespace,
    say: Say,
    transport: httpx.BaseTransport | None,
    board: Board | None,
) -> tuple[people.Guests, Library, str]:
    if not options.sdk.startswith(SIMULATED):
        version = options.sdk_version or "unknown"
        return board or people.AtConsole(say), CLibrary(Path(options.sdk)), version
    crowd = people.Synthetic(_people(options))
    url = options.sdk.removeprefix(SIMULATED)
    face = partial(_next_face, crowd) if board else crowd.face
    return board or crowd, SimulatedLibrary(url, face, transport=transport), "simulated"


def _next_face(crowd: people.Synthetic) -> str:
    """Bring somebody before the simulated camera of a terminal at which real hands press."""
    crowd.arrive()
    return crowd.face()


def _people(options: argparse.Namespace) -> Iterator[people.Person]:
    if options.person:
        person = people.Person(options.person)
        return iter([person]) if options.kiosk is None else itertools.repeat(person)
    if options.kiosk is not None:  # whoever presses is somebody new, and says yes or no themselves
        return iter(people.stranger, None)
    if options.once:
        return iter([people.stranger()])
    return people.passers_by(random.Random())


def _console(options: argparse.Namespace) -> Console | None:
    """Return the window to show names in; not for one visit, which leaves before they are read."""
    out = sys.stderr if options.json else sys.stdout
    return Console(out) if out.isatty() and not options.once else None


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
