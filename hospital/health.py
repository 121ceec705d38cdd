"""Liveness and readiness, for a load balancer. Neither says anything about a person or a place."""

import threading
import time
from typing import Final

from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from hospital import tracing
from hospital.accounts import addresses
from hospital.operations import asking
from hospital.operations.parts.lagging import lagging
from hospital.operations.parts.serving import serving
from hospital.operations.verdicts import Finding, Verdict

_STATUS = {Verdict.OK: "ok", Verdict.DEGRADED: "degraded", Verdict.BROKEN: "unready"}


@never_cache
def healthz(_request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@never_cache
def readyz(_request: HttpRequest) -> JsonResponse:
    """
    Whether terminals are served; for who may be staff, by the names of what is amiss.

    503 with what cannot serve as `failed`; 200 with what somebody has to see to as `degraded`.
    Nobody else learns that, say, no notary is at work.
    """
    found = _looking.found()
    worst = max(finding.verdict for finding in found)
    body: dict[str, object] = {"status": _STATUS[worst]}
    if addresses.is_allowed(tracing.current().ip):
        body["failed"] = [one.part for one in found if one.verdict == Verdict.BROKEN]
        body["degraded"] = [one.part for one in found if one.verdict == Verdict.DEGRADED]
    return JsonResponse(body, status=503 if worst == Verdict.BROKEN else 200)


class _Looking:
    """
    One look at a time; whoever came before it began is told what it found.

    A crowd that asks would keep each part so busy that it seems not to answer, and a load
    balancer would take a web out that has nothing but too many probes.
    """

    def __init__(self) -> None:
        self._lock, self._began = threading.Lock(), 0.0
        self._found: list[Finding] = []

    def found(self) -> list[Finding]:
        came = time.monotonic()
        with self._lock:
            if self._began <= came:
                self._began = time.monotonic()
                self._found = asking.ask([*serving(), *lagging()])
            return self._found


_looking: Final = _Looking()
