"""Figures for a monitoring system (Prometheus), for who has the token. None is about a person."""

import hmac
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.multiprocess import MultiProcessCollector

from hospital.metrics.collecting import Sheltered
from hospital.metrics.http import REQUESTS
from hospital.metrics.operation import Operation
from hospital.metrics.trail import Trail
from hospital.metrics.upstream import Upstream

_SCHEME = "Bearer"

REGISTRY = CollectorRegistry()
for _collector in (Trail(), Operation(), Upstream()):
    REGISTRY.register(Sheltered(_collector))
if settings.PROMETHEUS_MULTIPROC_DIR:  # of all processes together; memory is each one's own
    MultiProcessCollector(REGISTRY, settings.PROMETHEUS_MULTIPROC_DIR)  # type: ignore[no-untyped-call]
else:
    REGISTRY.register(REQUESTS)
    ProcessCollector(registry=REGISTRY)
    GCCollector(registry=REGISTRY)


@method_decorator(never_cache, name="dispatch")
class Metrics(View):
    """Not there without a token configured; 401 for who has another."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.METRICS_TOKEN:
            raise Http404
        if not _may(request.headers.get("Authorization", "")):
            return HttpResponse(status=401, headers={"WWW-Authenticate": _SCHEME})
        return super().dispatch(request, *args, **kwargs)

    def get(self, _request: HttpRequest) -> HttpResponse:
        return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_PLAIN_0_0_4)


def _may(authorization: str) -> bool:
    scheme, _, token = authorization.partition(" ")
    is_ours = hmac.compare_digest(token.encode(), settings.METRICS_TOKEN.encode())
    return is_ours and scheme.lower() == _SCHEME.lower()
