"""
Requests: django-prometheus's own figures, in a registry of ours and with labels that stay few.

No label is about a person: views by their names, never a path.
"""

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django_prometheus.middleware import (
    Metrics,
    PrometheusAfterMiddleware,
    PrometheusBeforeMiddleware,
)
from prometheus_client import CollectorRegistry

REQUESTS: Final = CollectorRegistry()


class _Metrics(Metrics):
    def register_metric(
        self, metric_cls: Any, name: str, documentation: str, labelnames: Any = (), **how: Any
    ) -> Any:
        return metric_cls(name, documentation, labelnames=labelnames, registry=REQUESTS, **how)


class Before(PrometheusBeforeMiddleware):
    """The whole of a request; the outermost but for the one that names it."""

    metrics_cls = _Metrics


class After(PrometheusAfterMiddleware):
    """A request as its view sees it."""

    metrics_cls = _Metrics

    def process_request(self, request: HttpRequest) -> None:
        if not str(request.headers.get("content-length") or "0").isdecimal():
            return
        super().process_request(request)

    def label_metric(
        self, metric: Any, request: HttpRequest, response: HttpResponse | None = None, **labels: str
    ) -> Any:
        if "method" in labels:  # one place of it takes whatever word a client sends
            labels["method"] = self._method(request)
        return super().label_metric(metric, request, response, **labels)
