"""Whether what is said to database, broker and cache can be read, or answered, by somebody else."""

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

_ENCRYPTED = frozenset({"amqps", "rediss", "sentinels"})
_LOCAL = frozenset({"unix", "redis+socket", "sentinel+socket", "socket"})
_UNCHECKED = frozenset({"none", "optional", "cert_none", "cert_optional", "false", "0"})
_TLS_CHOICES = frozenset({"ssl_cert_reqs", "ssl_check_hostname"})


def is_private_database(configured: Mapping[str, Any]) -> bool:
    """Return whether a PostgreSQL proves who it is; behind a socket of this machine none need."""
    if not configured["ENGINE"].endswith("postgresql"):
        return True
    options = configured.get("OPTIONS", {})
    host = str(configured.get("HOST") or options.get("host", ""))
    return host.startswith("/") or not host or options.get("sslmode") == "verify-full"


def is_private(urls: str | Iterable[str], options: Mapping[str, Any] | None = None) -> bool:
    """
    Return whether every one of them is spoken to in TLS, or is on this machine.

    :param options: what a cache was given besides, as `ssl_cert_reqs`
    """
    listed = [urls] if isinstance(urls, str) else urls
    chosen = {name: str(value) for name, value in (options or {}).items()}
    each = [one for several in listed for one in several.replace(";", ",").split(",")]
    return all(_is_private(url.strip(), chosen) for url in each)


def _is_private(url: str, options: Mapping[str, str]) -> bool:
    parts = urlsplit(url)
    if parts.scheme in _LOCAL or _is_here(parts.hostname or ""):
        return True
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    checked = {**options, **asked}
    return parts.scheme in _ENCRYPTED and not any(
        checked.get(name, "").lower() in _UNCHECKED for name in _TLS_CHOICES
    )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
