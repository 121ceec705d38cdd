"""
The key-encryption keys, by epoch. One is active; older ones still unwrap.

The provider of the root key is met once per process and epoch, and again in the background
when half of `ROOT_KEY_CACHE_SECONDS` has passed, so no request waits for it. If it stays
away, what was unwrapped serves until that time is up; then there are no keys.
"""

import os
from dataclasses import dataclass
from threading import Lock, Thread
from time import monotonic
from typing import Final

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Exists, OuterRef, Q, QuerySet

from hospital.crypto.models import DataKey, IndexKey, KeyEpoch, key_database
from hospital.crypto.providers import KeyRefused, KeyUnavailable
from hospital.crypto.providers.configured import provider
from hospital.crypto.sealing import pack
from hospital.crypto.suites import Key, Suite
from hospital.crypto.wrapping import WrongKey, check_value, checked, u32

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch's key, unwrapped and ready."""

    pk: int
    check: bytes
    number: int
    key: Key


@dataclass
class _Held:
    epoch: Epoch
    row: KeyEpoch
    since: float  # monotonic seconds, like the next
    tried: float


_PAUSE: Final = 30.0  # seconds between two attempts at a provider that does not answer

# By primary key and check value: an epoch that was rolled back and made again under the same
# number is another one.
_held: Final[dict[tuple[int, bytes], _Held]] = {}
_away: Final[dict[tuple[int, bytes], tuple[float, str]]] = {}  # when, and why
_lock: Final = Lock()
_last_active: tuple[int, bytes] | None = None  # what was read last; it may be so no more


def active() -> Epoch:
    """
    Return the epoch that wraps new keys, made on first use.

    :raises KeyUnavailable: its provider cannot be reached
    :raises WrongKey: the provider holds another root key
    """
    global _last_active  # noqa: PLW0603 (one a process)
    rows = _rows().filter(state=KeyEpoch.State.ACTIVE).values_list("pk", "check_value")
    found = next(iter(rows), None)
    if found is None:
        row = _make_first()
        found = row.pk, row.check_value
    _last_active = found[0], bytes(found[1])
    return opened(*_last_active)


def lately_active() -> Epoch:
    """
    Return the epoch that was active when this process looked last, without a query where it can.

    A key that it wraps is written on condition of `is_active` only.

    :raises KeyUnavailable, WrongKey:
    """
    known = _last_active
    return opened(*known) if known in _held else active()


def is_active(epoch: Epoch) -> dict[str, object]:
    """Return what the row of this epoch says for as long as new keys are wrapped with it."""
    return {"id": epoch.pk, "check_value": epoch.check, "state": KeyEpoch.State.ACTIVE}


def opened(pk: int, check: bytes) -> Epoch:
    """
    Return an epoch by its primary key and check value.

    :raises KeyUnavailable, WrongKey:
    """
    held = _held.get((pk, check))
    if held is None:
        return _open(pk, check)
    now = monotonic()
    if now - held.since >= settings.ROOT_KEY_CACHE_SECONDS:
        return _open(pk, check)
    if now - held.since >= settings.ROOT_KEY_CACHE_SECONDS / 2 and now - held.tried >= _PAUSE:
        held.tried = now
        Thread(target=_refresh, args=(held,), daemon=True).start()
    return held.epoch


def open_all() -> None:
    """
    Unwrap every epoch that is in use: a process that cannot must not start.

    :raises KeyUnavailable, WrongKey:
    """
    for row in in_use():
        opened(row.pk, bytes(row.check_value))


def in_use() -> QuerySet[KeyEpoch]:
    """Return the epochs that wrap something: of another the root key may be gone."""
    wraps = [
        Exists(keys.objects.filter(epoch=OuterRef("pk"), wrapped__isnull=False))
        for keys in (DataKey, IndexKey)
    ]
    return _rows().filter(Q(state=KeyEpoch.State.ACTIVE) | Q(*wraps, _connector=Q.OR))


def make(number: int, suite: Suite) -> KeyEpoch:
    """
    Return a new epoch, wrapped by the configured provider and not saved yet.

    :raises KeyUnavailable:
    """
    root, key = provider(settings.KEY_PROVIDER), os.urandom(suite.key_size)
    return KeyEpoch(
        epoch=number,
        suite=suite,
        provider=root.name,
        wrapped=root.wrap(key, context=_context(number, suite)),
        check_value=check_value(suite.mac, key),
    )


def prove(row: KeyEpoch) -> None:
    """
    Unwrap a new epoch once, before anything is wrapped with it.

    :raises KeyUnavailable, WrongKey: its provider does not give back what it was given
    """
    _unwrapped(row)


def configured_suite() -> Suite:
    """
    Return what new keys are for.

    :raises ImproperlyConfigured: `CRYPTO_SUITE` names none
    """
    try:
        return Suite.named(settings.CRYPTO_SUITE)
    except ValueError as exc:
        raise ImproperlyConfigured(f"CRYPTO_SUITE: {exc}") from None


def forget() -> None:
    """Forget every key-encryption key this process holds."""
    with _lock:
        _held.clear()
        _away.clear()


def _rows() -> QuerySet[KeyEpoch]:
    return KeyEpoch.objects.using(key_database())


def _make_first() -> KeyEpoch:
    # Another process may be doing the same: the first row stands, and is read again.
    _rows().bulk_create([make(1, configured_suite())], ignore_conflicts=True)
    return _rows().get(state=KeyEpoch.State.ACTIVE)


def _open(pk: int, check: bytes) -> Epoch:
    row = _rows().get(pk=pk)  # before the lock: who waits for a connection must not hold it
    came = monotonic()
    with _lock:  # one thread asks the provider; the others find what it found
        now, held = monotonic(), _held.get((pk, check))
        if held is None or now - held.since >= settings.ROOT_KEY_CACHE_SECONDS:
            held = _held[pk, check] = _Held(_asked_for(row, came), row, since=now, tried=now)
        return held.epoch


def _asked_for(row: KeyEpoch, came: float) -> Epoch:
    """Ask the provider, unless somebody did in vain since we came: who waited is told the same."""
    which = row.pk, bytes(row.check_value)
    failed_at, reason = _away.get(which, (came - 1, ""))
    if failed_at > came:
        raise KeyUnavailable(reason)
    try:
        return _unwrapped(row)
    except KeyUnavailable as exc:
        _away[which] = monotonic(), exc.reason
        raise


def _unwrapped(row: KeyEpoch) -> Epoch:
    suite = Suite(row.suite)
    try:
        key = provider(row.provider).unwrap(bytes(row.wrapped), context=_context(row.epoch, suite))
    except KeyRefused:
        raise WrongKey from None
    check = bytes(row.check_value)
    checked(key, algorithm=suite.mac, check=check)
    return Epoch(pk=row.pk, check=check, number=row.epoch, key=Key(suite, key))


def _refresh(held: _Held) -> None:
    now = monotonic()
    try:
        held.epoch = _unwrapped(held.row)
    except (KeyUnavailable, WrongKey) as exc:
        log.warning("root_key_unavailable", epoch=held.epoch.number, error=type(exc).__name__)
    else:
        held.since = now


def _context(number: int, suite: Suite) -> bytes:
    return pack(b"hfe-kek", u32(number), u32(suite))
