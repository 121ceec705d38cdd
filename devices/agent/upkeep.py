"""
What a terminal sees to while nobody stands at it.

A heartbeat every half minute, the next credential before this one ends, a screen wiped of the
last name. While the server is away, or has stopped this terminal, or there is no camera, nobody
is received.
"""

import math
import platform
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from devices.agent.api import Presence, Problem, Server, Unreachable
from devices.agent.visit import MISSING, Say, Terminal, Visit
from devices.sdk.errors import SDKError

HEARTBEAT = 30.0  # seconds; the server calls a terminal silent after three minutes
RETRY = 5.0  # seconds between two heartbeats while the server does not hear us
PREFETCH_RETRY = 60.0  # seconds between two attempts at a credential nobody waits for yet
SHOWN = 60.0  # seconds a masked name stays on the screen
LONGEST_OS = 64  # characters
TOO_MANY_REQUESTS = 429
MEGABYTE = 1024 * 1024
NO_CAMERA = "camera_missing"  # a code of ours, which no server sends
_CODE = re.compile(r"[A-Z_]{1,32}", re.ASCII)


class Upkeep:
    """
    Everything that is due at some time; `step` does it.

    A class because it remembers what was done last. Times are monotonic: a wall clock that
    jumps changes nothing here.

    :param state: the directory whose disk is reported
    :param wipe: clears the console of what it shows of the last person
    :param after_beat: told each answer to a heartbeat
    """

    def __init__(
        self,
        terminal: Terminal,
        server: Server,
        *,
        sdk_version: str,
        say: Say,
        state: Path = Path(),
        wipe: Callable[[], None] | None = None,
        after_beat: Callable[[Presence], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terminal = terminal
        self._server = server
        self._sdk_version = sdk_version
        self._say = say
        self._state = state
        self._wipe = wipe
        self._after_beat = after_beat
        self._clock = clock
        self._started_at = clock()
        self._beat_at = self._prefetch_at = -math.inf
        self._wipe_at = math.inf
        self._last_error = self._told = ""
        self.closed = ""  # why nobody is received now

    def step(self) -> None:
        """Do what is due. A failure is told, and tried again when that is due."""
        if self._clock() >= self._wipe_at:
            self._wipe_at = math.inf
            if self._wipe:
                self._wipe()
        if self._clock() >= self._beat_at:
            self.beat()
        if not self.closed and self._clock() >= self._credential_at():
            self._prefetch()

    def pause(self) -> float:
        """Return the seconds until something is due."""
        due_at = min(self._beat_at, self._wipe_at)
        if not self.closed:
            due_at = min(due_at, self._credential_at())
        return max(0.0, due_at - self._clock())

    def beat(self) -> None:
        """Say that we are here. A heartbeat nobody hears closes the terminal until the next."""
        self._beat_at = self._clock() + HEARTBEAT
        camera = self._terminal.camera()
        try:
            presence = self._server.heartbeat(
                camera=camera,
                clock=time.time(),
                sdk_version=self._sdk_version,
                os=f"{platform.system()} {platform.release()}"[:LONGEST_OS],
                disk_free_mb=_free_disk(self._state),
                uptime=int(self._clock() - self._started_at),
                last_error=self._last_error and _error_code(self._last_error),
            )
        except Unreachable as exc:
            self._lost(f"心跳未送达：{describe(exc)}", "unreachable", describe(exc))
        except Problem as exc:
            if exc.status == TOO_MANY_REQUESTS:  # it is there, and has heard of us lately
                self._say(f"心跳未送达：{describe(exc)}")
                return
            self._lost(f"心跳未送达：{describe(exc)}", exc.code, exc.detail)
        else:
            self._heard(presence, camera)

    def note(self, visit: Visit) -> None:
        """Remember what interrupted a visit, and when its name is to be wiped."""
        if visit.state == "interrupted":
            self._last_error = visit.code
        if visit.masked_name:
            self._wipe_at = self._clock() + SHOWN

    def _heard(self, presence: Presence, camera: str) -> None:
        self._last_error = ""
        if presence.suspension:
            self._close(
                f"本终端已停用：{presence.suspension}", "terminal_suspended", presence.suspension
            )
        elif camera == MISSING:
            self._close("摄像头没有就绪，每次心跳时再试", NO_CAMERA)
        else:
            self._open()
        if self._after_beat:
            self._after_beat(presence)

    def _lost(self, sentence: str, code: str, detail: str) -> None:
        self._beat_at = self._clock() + RETRY
        self._last_error = code
        self._close(sentence, code, detail)

    def _close(self, sentence: str, code: str, detail: str = "") -> None:
        if self.closed != sentence:
            self._say(sentence)
        self.closed = sentence
        self._terminal.screen.block(code, detail)

    def _open(self) -> None:
        if self.closed:
            self._say("已恢复服务")
        self.closed = ""
        self._terminal.screen.block("")

    def _credential_at(self) -> float:
        return max(self._prefetch_at, self._terminal.prefetch_at())

    def _prefetch(self) -> None:
        self._prefetch_at = self._clock() + PREFETCH_RETRY
        try:
            self._terminal.prefetch()
        except SDKError as exc:
            self._last_error = exc.code
            self._tell(f"未能预先取得凭证：{exc}（{exc.code}）")
        except (Problem, Unreachable) as exc:
            self._tell(f"未能预先取得凭证：{describe(exc)}")
        else:
            self._told = ""

    def _tell(self, sentence: str) -> None:
        """Say what goes wrong, not every minute that it still does."""
        if sentence != self._told:
            self._say(sentence)
        self._told = sentence


def describe(failure: Problem | Unreachable) -> str:
    """Return a sentence for the operator."""
    if isinstance(failure, Unreachable):
        return f"无法连接服务器（{failure.fact}）"
    return " ".join(filter(None, [failure.code, failure.detail]))


def _error_code(code: str) -> str:
    """Return `code` as the server takes it: capitals only, nothing anybody could have typed."""
    code = code.upper()
    return code if _CODE.fullmatch(code) else "OTHER"


def _free_disk(state: Path) -> int:
    """Return the free megabytes of the disk that holds `state`."""
    return shutil.disk_usage(state).free // MEGABYTE
