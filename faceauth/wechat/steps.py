"""
A call to WeChat as steps: what to send and what to make of the answer, without sending anything.

The same steps run under threads (`run`) and under asyncio (`arun`), so that what decides
whether an answer is believed exists once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import httpx

from faceauth.wechat.errors import Unavailable, WeChatError
from faceauth.wechat.exchange import Channel, Reply

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to send; the answer comes back as a Reply."""

    channel: Channel
    request: httpx.Request = field(repr=False)  # its URL names a face_sid


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to send for `seconds`: somebody else is fetching what this call needs."""

    seconds: float


Steps: TypeAlias = Generator[Ask | Pause, Reply | None, T]


def run(steps: Steps[T], send: Callable[[Ask], Reply], *, until: float = float("inf")) -> T:
    """
    Take `steps` to their end, sending with `send`; what it raises is the steps' to judge.

    :param until: on the monotonic clock; no pause goes beyond
    :raises WeChatError: the steps' own outcome
    """
    failure: WeChatError | None = None
    reply: Reply | None = None
    try:
        while True:
            step = steps.throw(failure) if failure else steps.send(reply)
            failure = reply = None
            if isinstance(step, Pause):
                if failure := _late(step, until):
                    continue
                time.sleep(step.seconds)
                continue
            try:
                reply = send(step)
            except WeChatError as exc:
                failure = exc
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()


async def arun(
    steps: Steps[T], send: Callable[[Ask], Awaitable[Reply]], *, until: float = float("inf")
) -> T:
    """
    Take `steps` to their end under asyncio, as `run` does under threads.

    :raises WeChatError: the steps' own outcome
    """
    failure: WeChatError | None = None
    reply: Reply | None = None
    try:
        while True:
            step = steps.throw(failure) if failure else steps.send(reply)
            failure = reply = None
            if isinstance(step, Pause):
                if failure := _late(step, until):
                    continue
                await asyncio.sleep(step.seconds)
                continue
            try:
                reply = await send(step)
            except WeChatError as exc:
                failure = exc
    except StopIteration as done:
        result: T = done.value
        return result
    finally:
        steps.close()


def _late(pause: Pause, until: float) -> WeChatError | None:
    return Unavailable("timeout") if time.monotonic() + pause.seconds > until else None
