"""What is answered instead of an answer, by WeChat in trouble or by something in between."""

from dataclasses import replace

from faceauth.simulator.refusal import FREQUENCY, OTHER
from faceauth.simulator.weather import Spell
from faceauth.simulator.wire import Reply, json_reply

FAULTS = frozenset({"drop", "reset", "drip"})  # what happens to a proper answer on its way

_ELSEWHERE = "https://elsewhere.invalid/"
_PAGE = b"<!DOCTYPE html><html><body>proxy</body></html>"
_HTML = {"Content-Type": "text/html"}


def instead(spell: Spell) -> Reply | None:
    """Return what is answered instead of an answer, if that is what the scenario does."""
    if spell.name == "rate-limited":
        limited = _failure(429, "RATELIMIT_EXCEEDED", "请求过于频繁")
        headers = {**limited.headers, "Retry-After": spell.retry_after}
        return replace(limited, headers=headers, number=FREQUENCY)
    return _INSTEAD.get(spell.name)


def _failure(status: int, code: str, message: str) -> Reply:
    reply = json_reply({"code": code, "message": message}, status=status)
    return replace(reply, number=OTHER)


_INSTEAD = {
    "500": _failure(500, "SYSTEM_ERROR", "系统异常，请稍后重试"),
    "down": _failure(503, "SERVICE_UNAVAILABLE", "服务不可用"),
    "202": Reply(202, b""),
    "redirect": Reply(302, b"", {"Location": _ELSEWHERE}),
    "html": Reply(200, _PAGE, _HTML),
    "html-404": Reply(404, _PAGE, _HTML),
    "oversized": Reply(200, b" " * 200_000, {"Content-Type": "application/octet-stream"}),
    "empty": Reply(200, b"", {"Content-Type": "application/json"}),
}
