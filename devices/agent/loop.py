"""Visit after visit, through outages and restarts."""

import math
import time
from collections.abc import Callable
from functools import partial

from devices.agent.api import Problem, Unreachable
from devices.agent.people import Guests, Left
from devices.agent.upkeep import Upkeep, describe
from devices.agent.visit import Say, Terminal, Visit
from devices.sdk.errors import SDKError

__all__ = ["Visit", "attempt", "run"]

WAIT_AFTER_FAILURE = 5.0  # seconds, when the server names no other
SHORTEST_REST = 0.05  # seconds, so that what is due at once and fails at once is no busy loop

STATES = {
    "onboarded": "建档完成",
    "recognised": "复诊患者，已识别",
    "unrecognised": "没有找到档案，可以刷脸建档",
    "refused": "未同意刷脸",
    "declined": "未在微信界面确认",
    "guardian_required": "未满 14 周岁，请监护人到人工窗口办理",
    "failed": "没有成功，请到人工窗口办理",
    "expired": "已超时，请重新开始",
    "withdrawn": "已撤回同意",
    "not_withdrawn": "未能撤回同意，请到人工窗口撤回",
    "left": "无人操作，已返回",
    "interrupted": "中断，请稍后再试或到人工窗口办理",
}


def run(
    terminal: Terminal,
    guests: Guests,
    upkeep: Upkeep,
    *,
    every: float,
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

    def rest(seconds: float) -> None:
        wake_at = clock() + seconds
        upkeep.step()
        while upkeep.closed or clock() < wake_at:
            left = math.inf if upkeep.closed else wake_at - clock()
            sleep(min(left, max(SHORTEST_REST, upkeep.pause())))
            upkeep.step()

    terminal.tidy()
    terminal.meanwhile = upkeep.step
    rest(0)
    while guests.arrive(upkeep.step):
        visit, pause = attempt(terminal, guests, say=say, recognise=recognise)
        report(visit)
        upkeep.note(visit)
        del visit  # a name, if a masked one: not kept while waiting for the next
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
    except Left:
        visit, pause = Visit("left"), 0.0
    except SDKError as exc:
        visit, pause = Visit("interrupted", code=exc.code, detail=str(exc)), WAIT_AFTER_FAILURE
    except (Problem, Unreachable) as exc:
        visit = _interrupted(exc)
        pause = WAIT_AFTER_FAILURE if exc.retry_after is None else exc.retry_after
    say(_sentence(visit, is_told=not terminal.screen.is_lit))
    terminal.screen.end(
        visit.state,
        code=visit.code,
        detail=visit.detail,
        number=visit.patient,
        masked_name=visit.masked_name,
        take_back=partial(terminal.take_back, visit.session) if visit.session else None,
    )
    return visit, pause


def _interrupted(failure: Problem | Unreachable) -> Visit:
    if isinstance(failure, Unreachable):
        return Visit("interrupted", code="unreachable", detail=describe(failure))
    return Visit("interrupted", code=failure.code, detail=failure.detail)


def _sentence(visit: Visit, *, is_told: bool) -> str:
    # Never the name: what is said here may be kept in a log.
    who = f"编号 {visit.patient}" if is_told and visit.patient else ""
    took = "" if visit.seconds is None else f"，用时 {visit.seconds:.1f} 秒"
    what = STATES.get(visit.state, "服务器仍在处理，结果稍后可在人工窗口查询")
    why = f"（{visit.reason}）" if visit.reason else ""
    return f"{what}{'：' if who else ''}{who}{took}{why}"
