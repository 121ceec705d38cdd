"""Every attempt to ask WeChat: one line in the log and one in the figures, about nobody."""

from typing import Final

import structlog

from faceauth import wechat
from hospital import figures

APIS: Final = ("authinfo", "identity")
# What is told apart; whatever else happens is "other", so that a label's values stay few.
FACTS: Final = frozenset(
    (
        *("ok", "unreachable", "timeout", "network", "busy", "egress", "circuit_open", "http_202"),
        *("http_429", "http_5xx", "too_large", "system_error", "signtest", "signer", "clock"),
        *("signature", "identifiers", "message", "appid_mch_id", "sub_merchant", "permission"),
        *("rawdata", "device_unregistered", "sdk_outdated", "refused", "not_found", "malformed"),
    )
)
OTHER: Final = "other"
BUCKETS: Final = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)  # seconds
OPEN: Final = 30.0  # seconds an open breaker is believed in: somebody tries it every ten

log = structlog.get_logger(__name__)


def note(api: str, attempt: wechat.Attempt) -> None:
    """
    Put an attempt on record; the log's line has our request id and WeChat's.

    :param api: one of `APIS`
    """
    log.info(
        "wechat",
        api=api,
        fact=attempt.fact,
        status=attempt.status,
        ms=round(attempt.seconds * 1000),
        wechat_request_id=attempt.request_id,
    )
    if attempt.fact == "circuit_open":  # nobody was asked
        figures.mark(open_mark(api), seconds=OPEN)
        return
    counted = {
        outcome_count(api, _told_apart(attempt.fact)): 1,
        micros_sum(api): round(attempt.seconds * 1_000_000),
    }
    within = next((bound for bound in BUCKETS if attempt.seconds <= bound), None)
    if within is not None:
        counted[bucket_count(api, within)] = 1
    figures.add(counted)


def outcome_count(api: str, fact: str) -> str:
    return f"wechat:{api}:fact:{fact}"


def bucket_count(api: str, bound: float) -> str:
    """Return the name of what counts attempts up to `bound` seconds and above the one before."""
    return f"wechat:{api}:le:{bound}"


def micros_sum(api: str) -> str:
    return f"wechat:{api}:micros"


def open_mark(api: str) -> str:
    return f"wechat:{api}:open"


def _told_apart(fact: str) -> str:
    fact = "signer" if fact.startswith("signer_") else fact
    return fact if fact in FACTS else OTHER
