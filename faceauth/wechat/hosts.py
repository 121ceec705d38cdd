"""WeChat's hosts: which one is asked, and what a status other than 200 means."""

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from faceauth.wechat import v3
from faceauth.wechat.breaker import Breaker
from faceauth.wechat.errors import (
    Misconfigured,
    Rejected,
    Unavailable,
    Untrusted,
    WeChatError,
    internal_number,
    plain_id,
)
from faceauth.wechat.exchange import Channel, Reply
from faceauth.wechat.permitting import Permit, anywhere
from faceauth.wechat.steps import Ask, Steps

# What WeChat refuses because of us, by its own code or the internal number in the Request-ID.
_OURS = {
    "SIGN_ERROR": "signature",
    "APPID_MCHID_NOT_MATCH": "appid_mch_id",
    "MCH_NOT_EXISTS": "identifiers",
    "268443699": "signature",
    "268445527": "appid_mch_id",
    "268443701": "sub_merchant",
}
# A rate limit, whatever the status it comes with.
_TOO_OFTEN = frozenset({"RATELIMIT_EXCEEDED", "FREQUENCY_LIMITED", "268447840"})
_NOT_OURS = {"NO_AUTH": "permission", "RESOURCE_NOT_EXISTS": "not_found"}
_LATE = "不得超过5分钟"  # a SIGN_ERROR whose reason is our clock


@dataclass(frozen=True, slots=True)
class Host:
    """One of WeChat's addresses for the same API, and how it has been lately."""

    url: str
    breaker: Breaker = field(default_factory=Breaker)


class Hosts:
    """
    The hosts of one API over one channel, the usual one first.

    `transport` replaces the network in tests.
    """

    def __init__(
        self,
        *urls: str,
        transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None = None,
        permit: Permit = anywhere,
    ) -> None:
        self._hosts = [Host(url.rstrip("/")) for url in urls if url]
        self.channel = Channel(transport, permit=permit)

    def ask(self, target: str, request_to: Callable[[str], httpx.Request]) -> Steps[Reply]:
        """
        Send what `request_to` makes of a URL; return the answer with status 200, unverified.

        A host whose network failed lately is asked last. The next one is asked in the same
        breath only if nothing was sent: after a timeout the request may have arrived.

        :raises Unavailable: unreachable, timeout, network, busy, http_202, http_429, http_5xx, or
            circuit_open when every host has been dead for a while
        :raises Rejected: any other status
        :raises Untrusted: too_large
        """
        *others, last = sorted(self._hosts, key=_is_second_choice)
        for host in others:
            try:
                return (yield from self._ask(host, request_to(host.url + target)))
            except Unavailable as exc:
                if exc.fact not in {"unreachable", "circuit_open"}:
                    raise
        return (yield from self._ask(last, request_to(last.url + target)))

    def _ask(self, host: Host, request: httpx.Request) -> Steps[Reply]:
        with host.breaker.watching():
            reply = yield Ask(self.channel, request)
            assert reply is not None  # noqa: S101 - every Ask is answered with one
            failure = _failure(reply)
            if failure is not None:
                raise failure
            return reply


def _is_second_choice(host: Host) -> bool:
    return host.breaker.is_shaky or host.breaker.seconds_shut > 0


def _failure(reply: Reply) -> WeChatError | None:
    # Failures are not always signed: they are believed as failures, and as nothing more.
    if reply.status == httpx.codes.OK:
        return None
    code, message = _said(reply)
    failure = _named(reply, code)
    if failure.fact == "signature" and _LATE in message:
        failure.fact = "clock"
    return failure.about(status=reply.status, request_id=reply.request_id, code=code)


def _named(reply: Reply, code: str) -> WeChatError:
    if reply.status == httpx.codes.ACCEPTED:  # "repeat the same request"
        return Unavailable("http_202", retry_after=reply.wait)
    number = internal_number(plain_id(reply.request_id))
    if reply.status == httpx.codes.TOO_MANY_REQUESTS or {code, number} & _TOO_OFTEN:
        return Unavailable("http_429", retry_after=reply.wait)
    if reply.is_failure_of_theirs:
        return Unavailable("http_5xx", retry_after=reply.wait)
    code = code or f"HTTP_{reply.status}"
    if fact := _OURS.get(number) or _OURS.get(code):
        return Misconfigured(code, fact=fact)
    return Rejected(code, fact=_NOT_OURS.get(code, "refused"))


def _said(reply: Reply) -> tuple[str, str]:
    """Return WeChat's code and message; the message is compared here and kept nowhere."""
    try:
        answer = v3.decoded(reply.body)
    except Untrusted:
        return "", ""
    code, message = answer.get("code"), answer.get("message")
    return code if isinstance(code, str) else "", message if isinstance(message, str) else ""
