"""
rawdata → authinfo: what a terminal's SDK needs before it may open the camera.

One authinfo serves a terminal for its life (FAQ of the face SDK: about 55 minutes), so it
is kept, sealed, in the shared cache; and however many ask at once, WeChat is asked once. It is a
worker that asks (`faceauth.fetching`): nobody else can open a merchant's keys.
"""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from django.core.cache import cache
from rest_framework import exceptions, status

from devices.models import Terminal
from faceauth import outage, waiting
from faceauth.flight import Failure, Flight
from faceauth.models import Merchant, NotConfigured
from hospital.audit.actions import Action
from hospital.audit.recording import record_alone
from hospital.crypto.fields import open_text, seal_text
from hospital.crypto.sealing import Unopenable
from hospital.errors import Refusal, Unavailable
from hospital.prepared import Prepared

PATIENCE = 8.0  # seconds a terminal waits for the worker
STEP = 0.05  # seconds between looks
FRESH = timedelta(seconds=5)  # a refresh right after another gets the same answer

CONTEXT = "terminal.authinfo"

Send = Callable[[UUID, UUID], None]  # a terminal and a flight, to a worker


class Refused(Refusal):
    """WeChat refuses, and does not say anything that would help."""

    code = "wechat_refused"
    message = "微信拒绝了本终端的请求，请到人工窗口办理，并告知工作人员核对商户与设备登记"


class DeviceUnregistered(Refusal):
    """The manufacturer has not registered this model with WeChat."""

    code = "device_unregistered"
    message = "该设备型号未在微信登记，请联系设备厂商"


class SdkOutdated(Refusal):
    """WeChat no longer accepts the face SDK this terminal runs."""

    code = "sdk_outdated"
    message = "终端的刷脸程序版本过旧，请联系设备厂商升级"


class RawdataRefused(exceptions.APIException):
    """The terminal should take rawdata again: it spoiled, or it is of another network."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "rawdata_refused"
    default_detail = "终端数据已失效，请重新获取"


class WeChatMisconfigured(Unavailable):
    """WeChat refuses the hospital, not the terminal, until somebody mends the configuration."""

    code = "wechat_misconfigured"
    message = "医院的微信配置有误，请到人工窗口办理"


@dataclass(frozen=True)
class Credential:
    """An authinfo and the moment it should no longer be used."""

    authinfo: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime

    def seconds_left(self, *, at: datetime) -> int:
        return max(0, int((self.expires_at - at).total_seconds()))


@dataclass(frozen=True)
class _Wish:
    """Whose credential, and how fresh: what is in the cache may not be what is asked for."""

    terminal: Terminal
    at: datetime
    not_before: datetime | None

    def granted_by(self, sealed: bytes | None) -> Credential | None:
        if sealed is None:
            return None
        try:
            value = json.loads(open_text(sealed, context=CONTEXT, row=self.terminal.pk))
        except Unopenable:
            return None  # sealed with a key that is gone: as good as not kept
        kept = Credential(
            value["authinfo"],
            datetime.fromisoformat(value["issued_at"]),
            datetime.fromisoformat(value["expires_at"]),
        )
        if kept.expires_at <= self.at or (self.not_before and kept.issued_at < self.not_before):
            return None
        return kept


# As much of it as an authinfo is bound to: keys and certificates are no business of the web's.
_IN_USE = Prepared(
    lambda _: Merchant.objects.filter(is_active=True).only(
        "appid", "mch_id", "sub_appid", "sub_mch_id"
    )
)


def merchant_in_use() -> Merchant:
    """
    Return whom an authinfo is asked for.

    :raises NotConfigured: nobody has set one up
    """
    merchant = _IN_USE.first()
    if merchant is None:
        raise NotConfigured
    return merchant


def credential(
    terminal: Terminal,
    *,
    rawdata: str,
    refresh: bool,
    merchant: Merchant,
    send: Send,
    at: datetime,
) -> Credential:
    """
    Return this terminal's authinfo, from the cache or through a worker.

    :param refresh: the SDK refused the one it had (its network changed)
    :param send: tells a worker; raises Unavailable if it cannot be told
    :raises Unavailable: no worker, or WeChat cannot be reached or trusted; nothing changed
    :raises WeChatMisconfigured, NotConfigured: somebody has to mend the merchant first
    :raises RawdataRefused, DeviceUnregistered, SdkOutdated, Refused: WeChat will not give one
    """
    name = cache_key(terminal, merchant)
    wish = _Wish(terminal, at, at - FRESH if refresh else None)
    made, cached = wish.granted_by(cache.get(name)), True
    if made is None:
        if seconds := outage.seconds_left(merchant, at=at):
            raise Unavailable(retry_after=seconds)
        flight, is_new = Flight.board(name, at=at)
        if is_new:
            cached = _take_off(flight, wish, rawdata=rawdata, send=send)
        made = _wait(flight, wish)
    _record_issue(terminal, made, cached=cached, at=at)
    return made


def keep(terminal: Terminal, merchant: Merchant, made: Credential, *, at: datetime) -> None:
    """
    Keep a credential, sealed, for as long as it is to be used.

    :raises KeyUnavailable:
    """
    value = {
        "authinfo": made.authinfo,
        "issued_at": made.issued_at.isoformat(),
        "expires_at": made.expires_at.isoformat(),
    }
    sealed = seal_text(json.dumps(value), context=CONTEXT, row=terminal.pk)
    cache.set(cache_key(terminal, merchant), sealed, made.seconds_left(at=at))


def cache_key(terminal: Terminal, merchant: Merchant) -> str:
    """Return a key over everything WeChat binds an authinfo to."""
    bound = [
        str(terminal.pk),
        terminal.serial,
        terminal.store.code,
        merchant.appid,
        merchant.mch_id,
        merchant.sub_appid,
        merchant.sub_mch_id,
        str(merchant.pk),
    ]
    return "authinfo:" + hashlib.sha256(json.dumps(bound).encode()).hexdigest()


def _take_off(flight: Flight, wish: _Wish, *, rawdata: str, send: Send) -> bool:
    """Return whether it was not needed: another landed since the cache was looked at."""
    with ExitStack() as unless_sent:
        unless_sent.callback(flight.end)
        if wish.granted_by(flight.look().brought):
            return True
        flight.load(rawdata)
        unless_sent.callback(flight.call_off)
        send(wish.terminal.pk, flight.ident)
        unless_sent.pop_all()
    return False


def _wait(flight: Flight, wish: _Wish) -> Credential:
    with waiting.seat(wish.terminal.pk) as may_wait:
        give_up = time.monotonic() + PATIENCE
        while True:
            look = flight.look()
            if made := wish.granted_by(look.brought):
                return made
            if look.failure:
                raise _told(look.failure)
            if look.is_over or not may_wait:
                raise Unavailable(retry_after=1)
            if time.monotonic() >= give_up:
                flight.call_off()
                raise Unavailable
            waiting.rest(STEP)


def _told(failure: Failure) -> Exception:
    """Return the failure as the terminal is told of it."""
    match failure.problem:
        case WeChatMisconfigured.code:
            return WeChatMisconfigured(retry_after=failure.retry_after)
        case Unavailable.code:
            return Unavailable(retry_after=failure.retry_after)
        case RawdataRefused.default_code:
            return RawdataRefused()
    refusals = (NotConfigured, DeviceUnregistered, SdkOutdated)
    return {refusal.code: refusal for refusal in refusals}.get(failure.problem, Refused)()


def _record_issue(terminal: Terminal, made: Credential, *, cached: bool, at: datetime) -> None:
    record_alone(
        Action.AUTHINFO_ISSUE,
        by=terminal,
        on=terminal,
        at=at,
        cached=cached,
        expires_in=made.seconds_left(at=at),
    )
