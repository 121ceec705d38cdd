"""
Where this installation may connect to: a list the settings make, and nobody's row can lengthen.

Every client of ours asks before it looks a name up. Database, broker and cache are not here: their
drivers know one address each, which is a setting. docs/network.md is the table for a firewall.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import structlog
from django.conf import settings

_PORTS: Final = {"http": 80, "https": 443}
_SYSLOG_TLS: Final = 6514  # RFC 5425 §4.1
# v2; v3, and its second host for disaster recovery.
WECHAT: Final = ("payapp.weixin.qq.com", "api.mch.weixin.qq.com", "api2.mch.weixin.qq.com")

log = structlog.get_logger(__name__)


class Forbidden(httpx.ConnectError):
    """Nothing of ours may connect there; the text does not say where, the log does."""


@dataclass(frozen=True)
class Destination:
    """
    Somebody this installation may connect to.

    :param port: None: any
    :param why: the setting it comes from, or WECHAT
    """

    host: str
    port: int | None
    why: str

    def covers(self, host: str, port: int) -> bool:
        return self.host == host.lower() and self.port in (None, port)


def destinations() -> Iterator[Destination]:
    """Yield everybody, in a settled order."""
    yield from _wechat()
    yield from _configured()
    yield from _allowed()


def permits(host: str, port: int) -> bool:
    """Return whether a client may go on that is about to connect."""
    if any(one.covers(host, port) for one in destinations()):
        return True
    log.error("egress.forbidden", host=host[:255], port=port)
    return False


def covers(url: str) -> bool:
    """Return whether the list covers a URL; nothing is logged."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return any(one.covers(parts.hostname or "", port) for one in destinations())


def client(**options: Any) -> httpx.Client:
    """
    Return a client that asks first, is sent nowhere else, and believes no variable about proxies.

    What it is not permitted is a `Forbidden`.
    """
    return httpx.Client(
        trust_env=False,
        follow_redirects=False,
        event_hooks={"request": [_asked]},
        **options,
    )


def _asked(request: httpx.Request) -> None:
    port = request.url.port or _PORTS.get(request.url.scheme, 0)
    if not permits(request.url.host, port):
        raise Forbidden("egress", request=request)


def _wechat() -> Iterator[Destination]:
    yield from (Destination(host, 443, "WECHAT") for host in WECHAT)


def _configured() -> Iterator[Destination]:
    for name in ("HIS_FHIR_URL", "VAULT_ADDR", "WITNESS_URL", "TIMESTAMP_URL"):
        if url := getattr(settings, name):
            parts = urlsplit(url)
            if parts.hostname:
                yield Destination(parts.hostname, parts.port or _PORTS.get(parts.scheme), name)
    if settings.FORWARD_ADDRESS:
        yield _read(settings.FORWARD_ADDRESS, "FORWARD_ADDRESS", port=_SYSLOG_TLS)


def _allowed() -> Iterator[Destination]:
    for address in filter(None, settings.EGRESS_ALLOW):
        yield _read(address, "EGRESS_ALLOW", port=None)


def _read(address: str, why: str, *, port: int | None) -> Destination:
    host, colon, given = address.strip().rpartition(":")
    if not colon or not given.isdecimal():  # a name without a port, or nothing we can read
        return Destination(address.strip().lower(), port, why)
    return Destination(host.lower(), int(given), why)
