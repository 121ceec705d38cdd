"""Asking again within one call: what is worth it, how long in between, and until when."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import stamina

from faceauth.wechat.errors import Unavailable, Untrusted, WeChatError
from faceauth.wechat.steps import Steps, arun, run

if TYPE_CHECKING:
    from stamina._core import _RetryContextIterator

T = TypeVar("T")

ATTEMPTS = 3  # WeChat: repeat the same request two or three times
FIRST_WAIT, LONGEST_WAIT, JITTER = 0.2, 2.0, 0.3  # seconds
OK = 200  # the status of every answer that was believed
SHORTEST_TRY = 1.0  # seconds of the budget that must be left for another attempt

# WeChat's probe of whether we verify; the genuine answer comes when asked again.
_PROBES = frozenset({"signtest", "base64"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One attempt to ask WeChat and how it ended, for who watches; about nobody.

    :ivar fact: "ok", or what the error says
    :ivar status: of the answer, 0 without one
    :ivar request_id: WeChat's name for the exchange, "" without one
    :ivar seconds: it took, signing and verifying included
    """

    fact: str
    status: int
    request_id: str
    seconds: float


Watch = Callable[[Attempt], None]


def unwatched(_attempt: Attempt) -> None:
    """Tell nobody."""


def begin(steps: Callable[[], Steps[T]], *, budget: float, watch: Watch = unwatched) -> T:
    """
    Take the steps, and again if that is worth it, within `budget` seconds.

    :param watch: told of each attempt
    :raises WeChatError: the outcome of the last attempt
    """
    until = time.monotonic() + budget
    for attempt in _attempts(until):
        with attempt, _watched(watch) as told:
            outcome = run(
                steps(), lambda ask: ask.channel.send(ask.request, until=until), until=until
            )
            told.outcome = outcome
            return outcome
    raise AssertionError("unreachable")  # the last attempt raised


async def abegin(steps: Callable[[], Steps[T]], *, budget: float, watch: Watch = unwatched) -> T:
    """
    Do as `begin` does, under asyncio.

    :raises WeChatError: the outcome of the last attempt
    """
    until = time.monotonic() + budget
    async for attempt in _attempts(until):
        with attempt, _watched(watch) as told:
            outcome = await arun(
                steps(), lambda ask: ask.channel.asend(ask.request, until=until), until=until
            )
            told.outcome = outcome
            return outcome
    raise AssertionError("unreachable")


@dataclass(slots=True)
class _Told:
    """What came of an attempt, as far as it is known."""

    outcome: Any = None


@contextmanager
def _watched(watch: Watch) -> Iterator[_Told]:
    told = _Told()
    began = time.monotonic()
    try:
        yield told
    except WeChatError as exc:
        watch(Attempt(exc.fact, exc.status, exc.request_id, time.monotonic() - began))
        raise
    request_id = getattr(told.outcome, "request_id", "")
    watch(Attempt("ok", OK, request_id, time.monotonic() - began))


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
            case Unavailable(
                fact="circuit_open" | "signer_circuit_open" | "egress" | "signer_egress"
            ):
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
