"""How the trail stands, in figures."""

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hospital.audit import trail
from hospital.audit.forwarding import configured, leaves
from hospital.audit.models import Forwarded
from hospital.audit.standing import Standing, standing


class Trail(Collector):
    """Read from the tables whenever somebody asks, so that all web processes say the same."""

    def collect(self) -> Iterator[Metric]:
        try:
            stands = standing(timezone.now())
        except trail.NotConfigured:  # what is known without the keys is said all the same
            stands = None
        what = "0: TRAIL_VERIFIERS holds what is no public key; how the log stands is unknown"
        yield _gauge("verifiers_readable", what, int(stands is not None))
        if stands:
            yield from _log(stands)
        yield from _forwarded()


def _log(stands: Standing) -> Iterator[Metric]:
    for name, what, value in (
        ("pending_events", "Events without a place in the log", stands.pending),
        ("lag_seconds", "How long the oldest event waits for a signature", stands.lag_seconds),
        ("signed_events", "Events the last checkpoint covers", stands.size),
        ("witnessed_events", "Events a cosigned checkpoint covers", stands.witnessed),
        (
            "unwitnessed_seconds",
            "How long the oldest checkpoint waits for a cosignature",
            stands.unwitnessed_seconds,
        ),
    ):
        yield _gauge(name, what, value)
    anchored = _labelled("anchor_age_seconds", "How long ago a checkpoint went to an anchor")
    for sink, age in stands.anchored.items():
        anchored.add_metric([sink], age)
    yield anchored
    if stands.verified_at is not None and stands.is_intact is not None:
        yield _gauge(
            "verified_timestamp_seconds",
            "When the trail was last verified",
            stands.verified_at.timestamp(),
        )
        yield _gauge("intact", "1: the last verification found nothing", int(stands.is_intact))


def _forwarded() -> Iterator[Metric]:
    """Of the configured receiver, also before it was sent anything."""
    try:
        sink = configured.sink()
    except trail.NotConfigured:
        return
    sent = _labelled("forwarded_sent_events", "Leaves written to a log server")
    read = _labelled("forwarded_acknowledged_events", "Leaves its end of TLS has read")
    lag = _labelled("forwarded_lag_events", "Leaves it has still to read")
    moved = _labelled("forwarded_moved_timestamp_seconds", "When forwarding last got on")
    row = Forwarded.objects.filter(sink=sink).first()
    acknowledged = row.acknowledged if row else 0
    sent.add_metric([sink], row.sent if row else 0)
    read.add_metric([sink], acknowledged)
    lag.add_metric([sink], max(leaves.signed() - acknowledged, 0))
    if row:
        moved.add_metric([sink], row.at.timestamp())
    yield from (sent, read, lag, moved)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"trail_{name}", what, value=value)


def _labelled(name: str, what: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"trail_{name}", what, labels=["sink"])
