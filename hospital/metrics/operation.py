"""What waits, how sessions end, how long until somebody has to act: read when somebody asks."""

from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db import connections
from django.utils import timezone
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from faceauth import merchant_certificates
from hospital.backup import standing as backup
from hospital.metrics.collecting import gauge
from hospital.operations import life, work


class Operation(Collector):
    """From the tables, so that all web processes say the same; by indexes, however they grow."""

    def collect(self) -> Iterator[Metric]:
        now = timezone.now()
        yield from _sessions(now)
        if settings.HIS_FHIR_URL:
            yield from _handoffs(now)
        yield from _ages(now)
        yield _certificates(now)
        yield from _pools()


def _sessions(now: datetime) -> Iterator[Metric]:
    due = work.due(now)
    yield from gauge("due_sessions", "Authorized sessions nobody works on", due.count)
    what = "Since when the one that waits longest could have been taken"
    yield from gauge("due_sessions_oldest_seconds", what, due.oldest_seconds)
    recent = GaugeMetricFamily(
        "recent_sessions",
        "Sessions opened in the last 15 minutes, by where they are now and why they ended",
        labels=["state", "reason"],
    )
    for (state, reason), count in sorted(work.outcomes(now).items()):
        recent.add_metric([state, reason], count)
    yield recent


def _handoffs(now: datetime) -> Iterator[Metric]:
    due = work.handoffs(now)
    yield from gauge("his_due_handoffs", "What the HIS is still to be told", due.count)
    what = "Since when the hand-off that waits longest could have been sent"
    yield from gauge("his_due_handoffs_oldest_seconds", what, due.oldest_seconds)
    yield from gauge("his_dead_handoffs", "Hand-offs that were given up", work.undelivered())


def _ages(now: datetime) -> Iterator[Metric]:
    what = "How long ago a whole retention sweep ended"
    yield from gauge("retention_swept_seconds", what, work.swept(now))
    what = "How long ago the last good backup was made"
    kept = backup.standing(now)
    yield from gauge("backup_age_seconds", what, kept.age_seconds)
    what = "How long ago a backup was last restored for a try, and found whole"
    yield from gauge("restore_drill_age_seconds", what, kept.drill_age_seconds)
    what = "How long ago a worker did what beat sends every five seconds"
    yield from gauge("worker_alive_seconds", what, life.seconds_ago(now))
    what = "Workers that were wedged and began anew"
    yield CounterMetricFamily("worker_restarts", what, value=life.restarts())


def _certificates(now: datetime) -> Metric:
    what = "Days until a certificate of the merchant in use ends; below 0: it has"
    left = GaugeMetricFamily("merchant_certificate_days", what, labels=["certificate"])
    for column, days in merchant_certificates.days_left(at=now).items():
        left.add_metric([column], days)
    return left


def _pools() -> Iterator[Metric]:
    """Of the process that answers."""
    sizes = GaugeMetricFamily(
        "database_pool_connections", "Connections of this process", labels=["database", "state"]
    )
    waiting = GaugeMetricFamily(
        "database_pool_waiting", "Who waits for a connection", labels=["database"]
    )
    for alias in connections:
        pools = getattr(type(connections[alias]), "_connection_pools", {})
        if alias not in pools:
            continue
        told = pools[alias].get_stats()
        free, size = told.get("pool_available", 0), told.get("pool_size", 0)
        sizes.add_metric([alias, "free"], free)
        sizes.add_metric([alias, "used"], size - free)
        waiting.add_metric([alias], told.get("requests_waiting", 0))
    if sizes.samples:
        yield from (sizes, waiting)
