"""Visit after visit, through outages and restarts, with a heartbeat in between."""

import platform
import time
from collections.abc import Callable

from devices.agent.api import Problem, Server, Unreachable
from devices.agent.people import Guests
from devices.agent.visit import Say, Terminal, Visit
from devices.sdk.errors import SDKError

__all__ = ["Visit", "attempt", "beat", "describe", "run"]

HEARTBEAT = 30.0  # seconds; the server calls a terminal silent after three minutes
WAIT_AFTER_FAILURE = 5.0  # seconds, when the server names no other
LONGEST_OS = 64  # characters

STATES = {
    "onboarded": "建档完成",
    "recognised": "复诊患者，已识别",
    "unrecognised": "没有找到档案，可以刷脸建档",
    "refused": "未同意刷脸",
    "declined": "未在微信界面确认",
    "guardian_required": "未满 14 周岁，请监护人到人工窗口办理",
    "failed": "未能建档，请到人工窗口办理",
    "expired": "已超时，请重新开始",
    "interrupted": "中断，请稍后再试或到人工窗口办理",
}


def run(
    terminal: Terminal,
    server: Server,
    guests: Guests,
    *,
    every: float,
    sdk_version: str,
    say: Say,
    report: Callable[[Visit], None],
    recognise: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """
    Receive people until nobody comes any more.

    :param every: seconds between two visits; longer when the server asks for it
    :param report: told how each visit ended
    :param recognise: look for people's records instead of making them
    """
    beaten_at: float | None = None

    def rest(seconds: float) -> None:
        nonlocal beaten_at
        wake_at = clock() + seconds
        while True:
            if beaten_at is None or clock() >= beaten_at + HEARTBEAT:
                beaten_at = clock()
                beat(terminal, server, sdk_version=sdk_version, say=say)
            left = wake_at - clock()
            if left <= 0:
                return
            sleep(min(left, HEARTBEAT))

    rest(0)
    while guests.arrive():
        visit, pause = attempt(terminal, guests, say=say, recognise=recognise)
        report(visit)
        rest(max(every, pause))


def attempt(
    terminal: Terminal, guests: Guests, *, say: Say, recognise: bool = False
) -> tuple[Visit, float]:
    """
    Receive one person; a failure ends the visit, not the program.

    :returns: the visit, and the seconds to wait before the next one is worth trying
    """
    receive = terminal.recognise if recognise else terminal.visit
    try:
        visit, pause = receive(consent=guests.consent), 0.0
    except SDKError as exc:
        visit, pause = Visit("interrupted", reason=f"{exc.code} {exc}"), WAIT_AFTER_FAILURE
    except (Problem, Unreachable) as exc:
        visit = Visit("interrupted", reason=describe(exc))
        pause = WAIT_AFTER_FAILURE if exc.retry_after is None else exc.retry_after
    say(_sentence(visit))
    return visit, pause


def beat(terminal: Terminal, server: Server, *, sdk_version: str, say: Say) -> None:
    """Say that we are here. A heartbeat nobody hears is told, and not repeated."""
    try:
        presence = server.heartbeat(
            camera=terminal.camera(),
            clock=time.time(),
            sdk_version=sdk_version,
            os=f"{platform.system()} {platform.release()}"[:LONGEST_OS],
        )
    except (Problem, Unreachable) as exc:
        say(f"心跳未送达：{describe(exc)}")
        return
    if presence.suspension:
        say(f"本终端已停用：{presence.suspension}")


def describe(failure: Problem | Unreachable) -> str:
    """Return a sentence for the operator."""
    if isinstance(failure, Unreachable):
        return f"无法连接服务器（{failure.fact}）"
    return " ".join(filter(None, [failure.code, failure.detail]))


def _sentence(visit: Visit) -> str:
    who = "，".join(filter(None, [visit.masked_name, visit.patient and f"编号 {visit.patient}"]))
    took = "" if visit.seconds is None else f"，用时 {visit.seconds:.1f} 秒"
    what = STATES.get(visit.state, "服务器仍在处理，结果稍后可在人工窗口查询")
    why = f"（{visit.reason}）" if visit.reason else ""
    return f"{what}{'：' if who else ''}{who}{took}{why}"
