"""Asking for figures: one source that cannot answer silences no other."""

from collections.abc import Iterator
from typing import Final

import structlog
from django.db import Error
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

_AWAY: Final = (Error, RedisError, OSError)

log = structlog.get_logger(__name__)


class Sheltered(Collector):
    """A source whose database or cache may be away; whether it answered is a figure as well."""

    def __init__(self, source: Collector) -> None:
        self._source = source
        self._name = type(source).__name__.lower()

    def describe(self) -> Iterator[Metric]:
        """Nothing: what registers it must not ask a database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        found: list[Metric] = []
        try:
            found = list(self._source.collect())
        except _AWAY as exc:
            log.warning("figures_missing", source=self._name, exc_info=exc)
            answered = 0
        else:
            answered = 1
        yield from found
        what = "1: this source of figures answered"
        yield GaugeMetricFamily(f"figures_{self._name}_up", what, value=answered)


def gauge(name: str, what: str, value: float | None) -> Iterator[Metric]:
    """Yield a figure; nothing, if there is none."""
    if value is not None:
        yield GaugeMetricFamily(name, what, value=value)
