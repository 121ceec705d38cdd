"""Asking again within one call: what is worth it, how long in between, and until when."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import stamina

from faceauth.wechat.errors import Unavailable, Untrusted
from faceauth.wechat.steps import Steps, arun, run

if TYPE_CHECKING:
    from stamina._core import _RetryContextIterator

T = TypeVar("T")

ATTEMPTS = 3  # WeChat: repeat the same request two or three times
FIRST_WAIT, LONGEST_WAIT, JITTER = 0.2, 2.0, 0.3  # seconds
SHORTEST_TRY = 1.0  # seconds of the budget that must be left for another attempt

# WeChat's probe of whether we verify; the genuine answer comes when asked again.
_PROBES = frozenset({"signtest", "base64"})


def begin(steps: Callable[[], Steps[T]], *, budget: float) -> T:
    """
    Take the steps, and again if that is worth it, within `budget` seconds.

    :raises WeChatError: the outcome of the last attempt
    """
    until = time.monotonic() + budget
    for attempt in _attempts(until):
        with attempt:
            return run(steps(), lambda ask: ask.channel.send(ask.request, until=until), until=until)
    raise AssertionError("unreachable")  # the last attempt raised


async def abegin(steps: Callable[[], Steps[T]], *, budget: float) -> T:
    """
    Do as `begin` does, under asyncio.

    :raises WeChatError: the outcome of the last attempt
    """
    until = time.monotonic() + budget
    async for attempt in _attempts(until):
        with attempt:
            return await arun(
                steps(), lambda ask: ask.channel.asend(ask.request, until=until), until=until
            )
    raise AssertionError("unreachable")


def _attempts(until: float) -> "_RetryContextIterator":
    return stamina.retry_context(
        on=_worth(until),
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=FIRST_WAIT,
        wait_max=LONGEST_WAIT,
        wait_jitter=JITTER,
    )


def _worth(until: float) -> Callable[[Exception], bool | float]:
    def judge(exc: Exception) -> bool | float:
        """Return whether to ask again, or after how many seconds."""
        left = until - time.monotonic() - SHORTEST_TRY
        match exc:
            case Unavailable(fact="circuit_open" | "signer_circuit_open"):
                return False
            case Unavailable(retry_after=float(wait)):
                return wait if wait < left else False
            case Unavailable(fact="http_429" | "signer_http_429"):
                return False  # it wants to be asked less often, not three times a second
            case Unavailable():
                return left > LONGEST_WAIT
            case Untrusted(fact=fact):
                return fact in _PROBES and left > LONGEST_WAIT
        return False

    return judge
