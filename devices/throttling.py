"""
How many requests a terminal may make: so many in each window, counted across processes.

Every answer says how many are left (`RateLimit`, `RateLimit-Policy`: IETF httpapi working
group, RateLimit header fields for HTTP), so that a terminal can slow down by itself.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle

from devices import counting
from hospital import tracing

POLICY = "default"


@dataclass(frozen=True)
class Allowance:
    """What is left to whom asked: `limit` per `window` seconds, `reset` seconds to go."""

    limit: int
    window: int
    used: int
    reset: int

    def state(self, response: Response) -> None:
        left = max(0, self.limit - self.used)
        response["RateLimit-Policy"] = f'"{POLICY}";q={self.limit};w={self.window}'
        response["RateLimit"] = f'"{POLICY}";r={left};t={self.reset}'


class CountingThrottle(SimpleRateThrottle):
    """One window after the other; `view.allowance` is what `state` tells the client."""

    num_requests: int
    duration: int

    def allow_request(self, request: Request, view: Any) -> bool:
        now, window = time.time(), self.duration
        key = self.get_cache_key(request, view)
        used = counting.count(f"{key}:{int(now // window)}", seconds=window)
        reset = max(1, math.ceil(window - now % window))
        self.allowance = view.allowance = Allowance(self.num_requests, window, used, reset)
        return used <= self.num_requests

    def wait(self) -> float:
        return self.allowance.reset


class TerminalThrottle(CountingThrottle):
    scope = "terminal"

    def get_cache_key(self, request: Request, view: object) -> str:
        return f"{self.scope}:{getattr(request.user, 'pk', '-')}"


class ActivationThrottle(CountingThrottle):
    """By address: nobody is known yet."""

    scope = "activation"

    def get_cache_key(self, request: Request, view: object) -> str:
        return f"{self.scope}:{tracing.current().ip}"
