"""Asking WeChat, as all workers together have counted it."""

from collections.abc import Iterator

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from faceauth import upstream
from hospital import figures


class Upstream(Collector):
    """From the sums in the cache (`hospital.figures`): no worker has to be reached."""

    def collect(self) -> Iterator[Metric]:
        facts = [*sorted(upstream.FACTS), upstream.OTHER]
        names = {
            upstream.outcome_count(api, fact): (api, fact)
            for api in upstream.APIS
            for fact in facts
        }
        others = [
            name
            for api in upstream.APIS
            for name in (
                upstream.micros_sum(api),
                *(upstream.bucket_count(api, bound) for bound in upstream.BUCKETS),
            )
        ]
        told = figures.sums([*names, *others])
        yield _attempts({names[name]: told[name] for name in names})
        yield _seconds(told)
        yield _breakers()


def _attempts(counted: dict[tuple[str, str], int]) -> Metric:
    what = "Attempts to ask WeChat, by what came of them: ok, or what went wrong"
    family = CounterMetricFamily("wechat_attempts", what, labels=["api", "outcome"])
    for (api, fact), count in counted.items():
        if count or fact == "ok":
            family.add_metric([api, fact], count)
    return family


def _seconds(told: dict[str, int]) -> Metric:
    what = "How long an attempt to ask WeChat took"
    family = HistogramMetricFamily("wechat_attempt_seconds", what, labels=["api"])
    for api in upstream.APIS:
        total, buckets = 0, []
        for bound in upstream.BUCKETS:
            total += told[upstream.bucket_count(api, bound)]
            buckets.append((str(bound), total))
        every = sum(
            told[upstream.outcome_count(api, fact)] for fact in (*upstream.FACTS, upstream.OTHER)
        )
        buckets.append(("+Inf", max(every, total)))
        family.add_metric([api], buckets, sum_value=told[upstream.micros_sum(api)] / 1_000_000)
    return family


def _breakers() -> Metric:
    what = "1: a worker turned callers away lately, because WeChat does not answer"
    family = GaugeMetricFamily("wechat_breaker_open", what, labels=["api"])
    for api in upstream.APIS:
        family.add_metric([api], int(figures.is_marked(upstream.open_mark(api))))
    return family
