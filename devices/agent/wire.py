"""
JSON to the server and back: signed, retried where that is safe, failures named.

* Problem       the server said no, and why (RFC 9457)
* Unreachable   nobody answered, or something in between answered for the server
"""

import itertools
import json
import random
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx

from devices.agent.signing import TerminalAuth

TIMEOUT = httpx.Timeout(30, connect=5)  # seconds; longer than any long poll we ask for
PATIENCE = 60.0  # seconds a call may be retried: about one restart of the server
SLOWEST_RETRY = 5.0  # seconds between two attempts, when the server names no other
BUSY = (429, 503)
CONFLICT = 409
SERVER_ERROR = 500
NO_CONTENT = 204


class Problem(Exception):
    """
    The server's own refusal.

    :ivar code: stable, for programs
    :ivar detail: a Chinese sentence, for whoever stands at the terminal
    :ivar retry_after: seconds, if the server named them
    :ivar server_time: unix seconds, if the server named them (`clock_skew` does)
    """

    def __init__(
        self,
        code: str,
        status: int,
        *,
        detail: str = "",
        retry_after: float | None = None,
        server_time: float | None = None,
    ) -> None:
        super().__init__(f"{code} ({status})")
        self.code = code
        self.status = status
        self.detail = detail
        self.retry_after = retry_after
        self.server_time = server_time


class Unreachable(Exception):
    """No answer of the server's. `fact` is the kind of failure, never an address."""

    def __init__(self, fact: str, *, retry_after: float | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.retry_after = retry_after


class Wire:
    """
    One connection to one server.

    :param patience: seconds a call may be retried before its failure is raised
    """

    def __init__(
        self,
        server: str,
        auth: TerminalAuth,
        *,
        transport: httpx.BaseTransport | None = None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx.Client(
            base_url=f"{server.rstrip('/')}/api/v1/",
            auth=auth,
            headers={"Accept": "application/json, application/problem+json"},
            timeout=TIMEOUT,
            transport=transport,
            trust_env=False,
        )
        self._auth = auth
        self._patience = patience
        self._clock = clock
        self._sleep = sleep

    def get(self, path: str, **params: int) -> dict[str, Any]:
        """
        Ask, and ask again while the server is away or busy.

        :raises Problem, Unreachable:
        """
        return self._call(lambda: self._http.build_request("GET", path, params=params or None))

    def post(
        self, path: str, body: dict[str, Any], *, patience: float | None = None
    ) -> dict[str, Any]:
        """
        Say it once: every attempt carries one Idempotency-Key and the same bytes.

        :param patience: seconds this call may be retried, if not the wire's own
        :raises Problem, Unreachable:
        """
        content = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        return self._call(
            lambda: self._http.build_request("POST", path, content=content, headers=headers),
            patience=patience,
        )

    def delete(self, path: str) -> None:
        """
        Have something gone, asking again as `get` does: a second time changes nothing.

        :raises Problem, Unreachable:
        """
        self._call(lambda: self._http.build_request("DELETE", path))

    def close(self) -> None:
        self._http.close()

    def _call(
        self, build: Callable[[], httpx.Request], *, patience: float | None = None
    ) -> dict[str, Any]:
        give_up_at = self._clock() + (self._patience if patience is None else patience)
        corrected = False
        for attempt in itertools.count():
            try:
                return self._attempt(build())
            except Problem as exc:
                if exc.code == "clock_skew" and exc.server_time is not None and not corrected:
                    self._auth.correct(exc.server_time)
                    corrected = True
                    continue
                if not _is_passing(exc):
                    raise
                self._pause(attempt, exc, give_up_at)
            except Unreachable as exc:
                self._pause(attempt, exc, give_up_at)
        raise AssertionError  # itertools.count() does not end

    def _attempt(self, request: httpx.Request) -> dict[str, Any]:
        try:
            return _read(self._http.send(request))
        except httpx.TransportError as exc:
            fact = type(exc).__name__
        # Raised out here: what was caught holds the request, and with it the visit's secrets.
        raise Unreachable(fact)

    def _pause(self, attempt: int, failure: Problem | Unreachable, give_up_at: float) -> None:
        """Sleep before the next attempt, or raise `failure` if that would be past patience."""
        pause = failure.retry_after
        if pause is None:
            pause = random.uniform(0.5, 1) * min(0.5 * 2**attempt, SLOWEST_RETRY)
        if self._clock() + pause > give_up_at:
            raise failure
        self._sleep(pause)


def moment(value: float | str) -> float:
    """
    Return unix seconds of a time given as RFC 3339 or as unix seconds.

    :raises ValueError: it is neither
    """
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(value)


def _is_passing(problem: Problem) -> bool:
    """Tell a server that is busy, or still at our first attempt, from one that said no."""
    still_at_it = problem.status == CONFLICT and problem.retry_after is not None
    return problem.status in BUSY or still_at_it


def _read(response: httpx.Response) -> dict[str, Any]:
    if response.status_code == NO_CONTENT:
        return {}
    answer = _json_object(response)
    retry_after = _retry_after(response)
    if answer is None and response.status_code >= SERVER_ERROR:
        raise Unreachable(f"http_{response.status_code}", retry_after=retry_after)
    if answer is None:
        raise Problem("not_our_server", response.status_code)
    if response.is_success:
        return answer
    raise Problem(
        str(answer.get("code", f"http_{response.status_code}")),
        response.status_code,
        detail=str(answer.get("detail", "")),
        retry_after=retry_after,
        server_time=_server_time(answer),
    )


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
    if media_type not in ("application/json", "application/problem+json"):
        return None
    try:
        answer = response.json()
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None


def _server_time(answer: dict[str, Any]) -> float | None:
    try:
        return moment(answer["server_time"])
    except (KeyError, TypeError, ValueError):
        return None
