"""What WeChat may do to us next: scenarios, each for a number of answers."""

import threading
import time
from dataclasses import dataclass

from faceauth.simulator.wire import Reply, json_reply

AUTHINFO, USERS = "authinfo", "users"
_BOTH, _XML, _JSON = frozenset({AUTHINFO, USERS}), frozenset({AUTHINFO}), frozenset({USERS})

SCENARIOS = {
    "slow": _BOTH,  # answers properly, but late
    "500": _BOTH,
    "down": _BOTH,  # 503
    "rate-limited": _BOTH,  # 429, with Retry-After
    "html": _BOTH,  # some proxy's page, with status 200
    "oversized": _BOTH,
    "forged": _BOTH,  # signed by another key
    "unsigned": _BOTH,
    "truncated": _BOTH,  # half of a properly signed body
    "malformed": _BOTH,  # not XML; not JSON, though properly signed
    "entities": _XML,  # a document type that defines entities
    "stale": _JSON,  # signed 400 seconds ago
    "future": _JSON,
    "signtest": _JSON,  # WeChat's own probe of whether we verify
    "garbage": _JSON,  # noise where the ciphertext should be
    "oaep": _JSON,  # the padding of every other v3 API
}


class UnknownScenario(ValueError):
    """There is no such scenario, or not at that endpoint."""


@dataclass(slots=True)
class Spell:
    """One scenario, `times` answers long; `seconds` is how late a slow one is."""

    name: str
    times: int
    endpoints: frozenset[str]
    seconds: float


class Weather:
    """The scenarios to come, in the order they were announced. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spells: list[Spell] = []

    def announce(self, name: str, *, times: int, endpoint: str | None, seconds: float) -> None:
        """
        Play `name` for the next `times` answers, at `endpoint` or wherever it can be.

        :raises UnknownScenario: there is no such scenario there
        """
        possible = SCENARIOS.get(name, frozenset())
        endpoints = possible if endpoint is None else possible & {endpoint}
        if not endpoints:
            raise UnknownScenario(name)
        with self._lock:
            self._spells.append(Spell(name, times, endpoints, seconds))

    def at(self, endpoint: str) -> Spell | None:
        """Take what is to happen to the next answer of `endpoint`."""
        with self._lock:
            self._spells = [spell for spell in self._spells if spell.times > 0]
            for spell in self._spells:
                if endpoint in spell.endpoints:
                    spell.times -= 1
                    return spell
        return None


def instead(spell: Spell) -> Reply | None:
    """Return what is answered instead of an answer, if that is what the scenario does."""
    match spell.name:
        case "slow":
            time.sleep(spell.seconds)
        case "500":
            return _failure(500, "SYSTEM_ERROR", "系统异常，请稍后重试")
        case "down":
            return _failure(503, "SERVICE_UNAVAILABLE", "服务不可用")
        case "rate-limited":
            limited = _failure(429, "RATELIMIT_EXCEEDED", "请求过于频繁")
            return Reply(429, limited.body, {**limited.headers, "Retry-After": "7"})
        case "html":
            page = b"<!DOCTYPE html><html><body>proxy</body></html>"
            return Reply(200, page, {"Content-Type": "text/html"})
        case "oversized":
            return Reply(200, b" " * 200_000, {"Content-Type": "application/octet-stream"})
    return None


def _failure(status: int, code: str, message: str) -> Reply:
    return json_reply({"code": code, "message": message}, status=status)
