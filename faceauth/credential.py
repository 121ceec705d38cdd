"""
rawdata → authinfo: what a terminal's SDK needs before it may open the camera.

One authinfo serves a terminal for its life (FAQ of the face SDK: about 55 minutes), so it
is kept, sealed, in the shared cache; and however many ask at once, WeChat is asked once.
"""

import hashlib
import json
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.core.cache import cache
from django.db import transaction
from uuid6 import uuid7

from devices.models import Terminal
from faceauth import waiting, wechat
from faceauth.models import Merchant
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.crypto.fields import open_text, seal_text
from hospital.crypto.sealing import Unopenable
from hospital.errors import Refusal, Unavailable

MARGIN = 300  # seconds before expiry at which a new one is fetched
LONGEST = 3300  # seconds; WeChat's FAQ: refresh every 55 minutes whatever expires_in says
LONGEST_RETRY = 60  # seconds a terminal is told to wait, whatever WeChat says
FLIGHT = 15  # seconds after which a fetch that never ended is given up
PATIENCE = 8.0  # seconds a second caller waits for the first one's answer
STEP = 0.05  # seconds between looks
FRESH = timedelta(seconds=5)  # a refresh right after another gets the same answer

CONTEXT = "terminal.authinfo"


class Refused(Refusal):
    """WeChat refuses us: our configuration, or the terminal's registration with WeChat."""

    code = "wechat_refused"
    message = "微信拒绝了本终端的请求，请到人工窗口办理，并告知工作人员核对商户与设备登记"


@dataclass(frozen=True)
class Credential:
    """An authinfo and the moment it should no longer be used."""

    authinfo: str = field(repr=False)
    issued_at: datetime
    expires_at: datetime

    def seconds_left(self, *, at: datetime) -> int:
        return max(0, int((self.expires_at - at).total_seconds()))


def credential(
    terminal: Terminal,
    *,
    rawdata: str,
    refresh: bool,
    merchant: Merchant,
    client: wechat.AuthinfoClient,
    at: datetime,
) -> Credential:
    """
    Return this terminal's authinfo, from the cache or from WeChat.

    :param refresh: the SDK refused the one it had (its network changed)
    :raises Unavailable: WeChat cannot be reached or is not to be trusted; nothing changed
    :raises Refused: WeChat will not give one
    """
    name = _cache_key(terminal, merchant)
    not_before = at - FRESH if refresh else None
    if kept := _kept(name, terminal, at=at, not_before=not_before):
        _record_issue(terminal, kept, cached=True, at=at)
        return kept
    flight, mine = f"{name}:flight", str(uuid7())
    if not cache.add(flight, mine, FLIGHT):
        return _wait(name, terminal, at=at, not_before=not_before)
    try:
        fetched = _fetch(terminal, rawdata=rawdata, client=client, at=at)
        _keep(name, terminal, fetched, at=at)
    finally:
        if cache.get(flight) == mine:  # else it was given up, and is somebody else's now
            cache.delete(flight)
    _record_issue(terminal, fetched, cached=False, at=at)
    return fetched


def _fetch(
    terminal: Terminal, *, rawdata: str, client: wechat.AuthinfoClient, at: datetime
) -> Credential:
    store = terminal.store
    device = wechat.Device(store_id=store.code, store_name=store.name, device_id=terminal.serial)
    try:
        answer = client.fetch(device, rawdata=rawdata)
    except wechat.Rejected as exc:
        _record_failure(terminal, code=exc.code, at=at)
        raise Refused from exc
    except wechat.WeChatError as exc:
        _record_failure(terminal, code=getattr(exc, "fact", ""), at=at)
        wait = min(getattr(exc, "retry_after", None) or 5, LONGEST_RETRY)
        raise Unavailable(retry_after=wait) from exc
    life = min(answer.expires_in, LONGEST + MARGIN) - MARGIN
    return Credential(answer.authinfo, at, at + timedelta(seconds=max(life, 0)))


def _kept(
    name: str, terminal: Terminal, *, at: datetime, not_before: datetime | None
) -> Credential | None:
    sealed = cache.get(name)
    if sealed is None:
        return None
    try:
        value = json.loads(open_text(sealed, context=CONTEXT, row=terminal.pk))
    except Unopenable:
        return None  # sealed with a key that is gone: as good as not kept
    kept = Credential(
        value["authinfo"],
        datetime.fromisoformat(value["issued_at"]),
        datetime.fromisoformat(value["expires_at"]),
    )
    if kept.expires_at <= at or (not_before and kept.issued_at < not_before):
        return None
    return kept


def _keep(name: str, terminal: Terminal, made: Credential, *, at: datetime) -> None:
    seconds = made.seconds_left(at=at)
    if not seconds:
        return
    value = {
        "authinfo": made.authinfo,
        "issued_at": made.issued_at.isoformat(),
        "expires_at": made.expires_at.isoformat(),
    }
    sealed = seal_text(json.dumps(value), context=CONTEXT, row=terminal.pk)
    cache.set(name, sealed, seconds)


def _wait(
    name: str, terminal: Terminal, *, at: datetime, not_before: datetime | None
) -> Credential:
    """Somebody else is asking WeChat for this terminal: take what they get."""
    with waiting.seat(terminal.pk) as may_wait:
        give_up = time.monotonic() + (PATIENCE if may_wait else 0)
        while time.monotonic() < give_up:
            time.sleep(STEP)
            if kept := _kept(name, terminal, at=at, not_before=not_before):
                _record_issue(terminal, kept, cached=True, at=at)
                return kept
            if cache.get(f"{name}:flight") is None:
                break
    raise Unavailable(retry_after=1)


def _cache_key(terminal: Terminal, merchant: Merchant) -> str:
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


def _record_issue(terminal: Terminal, made: Credential, *, cached: bool, at: datetime) -> None:
    with transaction.atomic():
        record(
            Action.AUTHINFO_ISSUE,
            by=terminal,
            on=terminal,
            at=at,
            cached=cached,
            expires_in=made.seconds_left(at=at),
        )


def _record_failure(terminal: Terminal, *, code: str, at: datetime) -> None:
    with transaction.atomic():
        record(Action.AUTHINFO_FAIL, by=terminal, on=terminal, at=at, outcome="failed", code=code)
