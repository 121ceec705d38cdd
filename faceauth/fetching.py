"""A worker asks WeChat for an authinfo, and ends the flight that waits for it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction

from devices.models import Terminal
from faceauth import outage, wechat
from faceauth.credential import (
    Credential,
    DeviceUnregistered,
    RawdataRefused,
    Refused,
    SdkOutdated,
    WeChatMisconfigured,
    keep,
)
from faceauth.flight import Failure, Flight
from faceauth.models import Merchant, NotConfigured
from faceauth.remedies import exchange_of, remedy
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto.sealing import Unopenable
from hospital.errors import Unavailable

MARGIN = 300  # seconds before expiry at which a new one is fetched
LONGEST = 3300  # seconds; WeChat's FAQ: refresh every 55 minutes whatever expires_in says
RETRY = 5  # seconds a terminal is told to wait when WeChat named no other time
LONGEST_RETRY = 60  # seconds a terminal is told to wait, whatever WeChat says
MENDING = 60  # seconds: nobody mends a configuration faster

REFUSED = {
    "rawdata": RawdataRefused.default_code,
    "device_unregistered": DeviceUnregistered.code,
    "sdk_outdated": SdkOutdated.code,
}

ClientFor = Callable[[Merchant], wechat.AuthinfoClient]
Clock = Callable[[], datetime]

log = structlog.get_logger(__name__)


def fetch(terminal_id: UUID, flight_id: UUID, *, client_for: ClientFor, clock: Clock) -> None:
    """
    Ask for the authinfo a flight is to bring; delivered twice, the second time does nothing.

    Whatever happens, those who wait are told at once.
    """
    flight = Flight.claim(flight_id)
    if flight is None:
        return
    failure: Failure | None = Failure(Unavailable.code, RETRY)
    try:
        failure = _fetch(flight, terminal_id, client_for=client_for, clock=clock)
    finally:
        if failure:
            flight.fail(failure)
        else:
            flight.end()


def _fetch(
    flight: Flight, terminal_id: UUID, *, client_for: ClientFor, clock: Clock
) -> Failure | None:
    terminal = Terminal.objects.select_related("store").get(pk=terminal_id)
    try:
        merchant = Merchant.objects.current()
        answer = client_for(merchant).fetch(_device(terminal), rawdata=flight.rawdata())
        keep(terminal, merchant, _credential(answer, at=flight.at), at=flight.at)
    except wechat.WeChatError as exc:
        if exc.fact == "circuit_open":
            outage.note(merchant, seconds=_wait(exc), at=clock())
        code = {"wechat_code": exc.code} if exc.code else {}
        _record_failure(terminal, exc.fact, at=clock(), **code, **exchange_of(exc))
        return _failure(exc)
    except ValueError:  # a name WeChat's parser would not take
        _record_failure(terminal, "message", at=clock())
        return Failure(WeChatMisconfigured.code, MENDING)
    except (NotConfigured, Unavailable, Unopenable) as exc:  # ours: keys or configuration
        fact = getattr(exc, "code", Unavailable.code)
        _record_failure(terminal, fact, at=clock())
        return Failure(fact, RETRY)
    return None


def _credential(answer: wechat.Authinfo, *, at: datetime) -> Credential:
    life = min(answer.expires_in, LONGEST + MARGIN)
    return Credential(answer.authinfo, at, at + timedelta(seconds=life - min(MARGIN, life // 2)))


def _device(terminal: Terminal) -> wechat.Device:
    store = terminal.store
    return wechat.Device(store_id=store.code, store_name=store.name, device_id=terminal.serial)


def _failure(exc: wechat.WeChatError) -> Failure:
    match exc:
        case wechat.Misconfigured():
            return Failure(WeChatMisconfigured.code, MENDING)
        case wechat.Rejected():
            return Failure(REFUSED.get(exc.fact, Refused.code))
    return Failure(Unavailable.code, min(_wait(exc), LONGEST_RETRY))


def _wait(exc: wechat.WeChatError) -> float:
    return getattr(exc, "retry_after", None) or RETRY


def _record_failure(terminal: Terminal, code: str, *, at: datetime, **facts: Any) -> None:
    log.warning("authinfo", terminal=str(terminal.pk), code=code, remedy=remedy(code), **facts)
    with transaction.atomic():
        record(
            Action.AUTHINFO_FAIL,
            by=SYSTEM,
            on=terminal,
            at=at,
            outcome="failed",
            code=code,
            **facts,
        )
