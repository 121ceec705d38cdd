"""
The only place that meets keys.

A provider unwraps the epoch's key once per process; that unwraps data keys (one per
patient and generation) and index keys (one per index and version). Keys are random, never
derived from one another: destroying the wrapped form destroys what was sealed.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final
from uuid import UUID

from cryptography.hazmat.primitives import constant_time
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import router, transaction
from django.db.models import QuerySet
from django.utils import timezone

from hospital.crypto import suites
from hospital.crypto.committed import Committed
from hospital.crypto.models import DataKey, IndexKey, KeyEpoch
from hospital.crypto.providers import KeyProvider, KeyRefused
from hospital.crypto.providers import KeyUnavailable as KeyUnavailable  # noqa: PLC0414 - ours too
from hospital.crypto.providers.file import FileProvider
from hospital.crypto.sealing import Unopenable, pack
from hospital.crypto.suites import MAC_SIZE, NONCE_SIZE, Mac, Suite
from hospital.errors import Refusal

# Operational secrets that belong to no patient: a pending face_sid, a cached credential.
SYSTEM_SUBJECT: Final = UUID("00000000-0000-7000-8000-000000000001")

_REMEMBERED: Final = 20_000  # keys per process
_PREFETCHED: Final = 5_000  # subjects per query
_CHECK_SIZE: Final = 8  # bytes
_Column = bytes | memoryview  # what a BinaryField yields, by database


class WrongKey(Unopenable):
    """A wrapped key does not unwrap to the key its check value was made from."""


class UnknownKey(Unopenable):
    """A value asks for a key generation that this database never committed."""


class SubjectForgotten(Unopenable, Refusal):
    """The patient's key was destroyed. Expected: show the sentence."""

    code: ClassVar[str] = "forgotten"
    message: ClassVar[str] = "该患者信息已依法删除"


@dataclass(frozen=True, kw_only=True)
class DataSecret:
    """A data key, unwrapped."""

    suite: Suite
    generation: int
    key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class IndexSecret:
    """An index key, unwrapped."""

    version: int
    algorithm: Mac
    key: bytes = field(repr=False)


# A subject and a generation, or a subject and 0 for the newest, which new values are sealed with.
_data: Final[Committed[tuple[UUID, int], DataSecret]] = Committed(size=_REMEMBERED)
_index: Final[Committed[str, IndexSecret]] = Committed(size=_REMEMBERED)


def data_key(subject: UUID) -> DataSecret:
    """
    Return the key to seal a subject's values with, made on first use.

    Two processes making the first key of one subject end with the same one. A key made
    in a transaction that rolls back is forgotten with it.

    :raises SubjectForgotten: it was destroyed; no second one is ever made
    :raises KeyUnavailable, WrongKey:
    """
    secret = _data.get((subject, 0), using=_alias())
    if secret is not None:
        return secret
    row = _newest(subject)
    if row is None:
        _make_data_key(subject)
        row = _newest(subject)
    if row is None:
        raise UnknownKey
    return _remember(row, newest=True)


def data_key_of(subject: UUID, generation: int) -> DataSecret:
    """
    Return the key a value of this generation was sealed with.

    :raises SubjectForgotten: it was destroyed
    :raises UnknownKey: there never was one
    :raises KeyUnavailable, WrongKey:
    """
    secret = _data.get((subject, generation), using=_alias())
    if secret is not None:
        return secret
    row = _data_keys().filter(subject=subject, generation=generation).first()
    if row is None:
        raise UnknownKey
    return _remember(row)


def prefetch(subjects: Iterable[UUID]) -> None:
    """
    Fetch the keys of many subjects in one query per 5,000, for lists.

    Forgotten, unknown and damaged keys are passed over: opening a value says so, and one
    bad row does not take the list with it.

    :raises KeyUnavailable:
    """
    missing = [one for one in {*subjects} if _data.get((one, 0), using=_alias()) is None]
    for start in range(0, len(missing), _PREFETCHED):
        some = missing[start : start + _PREFETCHED]
        rows = _data_keys().filter(subject__in=some, wrapped__isnull=False)
        # Oldest first, so that the newest generation is what sealing finds in the end.
        for row in rows.order_by("generation"):
            with suppress(WrongKey):
                _remember(row, newest=True)


def index_key(label: str) -> IndexSecret:
    """
    Return the newest key of a blind index, made on first use.

    :raises KeyUnavailable, WrongKey:
    """
    secret = _index.get(label, using=_alias())
    if secret is not None:
        return secret
    row = _newest_index_key(label)
    if row is None:
        _make_index_key(label)
        row = _newest_index_key(label)
    if row is None:
        raise UnknownKey
    secret = _unwrap_index_key(row)
    _index.put(label, secret, seconds=settings.KEY_CACHE_SECONDS, using=_alias())
    return secret


def destroy(subject: UUID, *, at: datetime | None = None) -> int:
    """
    Make everything sealed for a subject unreadable for ever; return how many keys that took.

    Other processes may still hold the key for up to `KEY_CACHE_SECONDS`. Backups of the
    key tables hold it, wrapped, until they expire. Destroying twice changes nothing.

    :raises ValueError: the system's own key is not a patient's
    """
    if subject == SYSTEM_SUBJECT:
        raise ValueError("the system's own key is not destroyed, it is rotated")
    alive = DataKey.objects.using(_alias()).filter(subject=subject, wrapped__isnull=False)
    destroyed = alive.update(wrapped=None, destroyed_at=at or timezone.now())
    _data.drop(lambda remembered: remembered[0] == subject, using=_alias())
    return destroyed


def when_durable(act: Callable[[], None]) -> None:
    """Do `act` once every key used so far is committed: now, if there is no transaction."""
    transaction.on_commit(act, using=_alias())


def clear() -> None:
    """Forget every key this process holds."""
    _data.clear()
    _index.clear()
    _unwrap_epoch.cache_clear()


# Data keys.


def _alias() -> str:
    # The primary, also for reading: a row may reach a replica before its key does.
    return router.db_for_write(DataKey)


def _data_keys() -> QuerySet[DataKey]:
    return DataKey.objects.using(_alias()).select_related("epoch")


def _newest(subject: UUID) -> DataKey | None:
    return _data_keys().filter(subject=subject).order_by("-generation").first()


def _remember(row: DataKey, *, newest: bool = False) -> DataSecret:
    if row.wrapped is None:
        raise SubjectForgotten
    suite = Suite(row.suite)
    key = _unwrap(row.epoch, row.wrapped, mac=suite.mac, check=row.check_value, aad=_aad_of(row))
    secret = DataSecret(suite=suite, generation=row.generation, key=key)
    for generation in (row.generation, 0) if newest else (row.generation,):
        _data.put(
            (row.subject, generation), secret, seconds=settings.KEY_CACHE_SECONDS, using=_alias()
        )
    return secret


def _make_data_key(subject: UUID) -> None:
    epoch, suite = _active_epoch(), _configured_suite()
    key = os.urandom(suite.key_size)
    row = DataKey(
        subject=subject, generation=1, suite=suite, epoch=epoch, check_value=_check(suite.mac, key)
    )
    row.wrapped = _wrap(epoch, key, aad=_aad_of(row))
    # Another process may be doing the same: the first row stands, and is read again.
    DataKey.objects.using(_alias()).bulk_create([row], ignore_conflicts=True)


def _aad_of(row: DataKey) -> bytes:
    return pack(
        b"hfe-dek", row.subject.bytes, _u32(row.generation), _u32(row.suite), _u32(row.epoch.epoch)
    )


# Index keys.


def _newest_index_key(label: str) -> IndexKey | None:
    rows = IndexKey.objects.using(_alias()).select_related("epoch").filter(label=label)
    return rows.order_by("-version").first()


def _make_index_key(label: str) -> None:
    epoch, algorithm = _active_epoch(), _configured_suite().mac
    key = os.urandom(MAC_SIZE)
    row = IndexKey(
        label=label, version=1, algorithm=algorithm, epoch=epoch, check_value=_check(algorithm, key)
    )
    row.wrapped = _wrap(epoch, key, aad=_aad_of_index(row))
    IndexKey.objects.using(_alias()).bulk_create([row], ignore_conflicts=True)


def _unwrap_index_key(row: IndexKey) -> IndexSecret:
    mac, aad = Mac(row.algorithm), _aad_of_index(row)
    key = _unwrap(row.epoch, row.wrapped, mac=mac, check=row.check_value, aad=aad)
    return IndexSecret(version=row.version, algorithm=mac, key=key)


def _aad_of_index(row: IndexKey) -> bytes:
    return pack(
        b"hfe-ixk",
        row.label.encode(),
        _u32(row.version),
        _u32(row.algorithm),
        _u32(row.epoch.epoch),
    )


# Epochs.


def _active_epoch() -> KeyEpoch:
    rows = KeyEpoch.objects.using(_alias()).filter(state=KeyEpoch.State.ACTIVE)
    epoch = rows.first()
    if epoch is None:
        _make_first_epoch()
        epoch = rows.get()
    return epoch


def _make_first_epoch() -> None:
    suite, provider = _configured_suite(), _provider(settings.KEY_PROVIDER)
    key = os.urandom(suite.key_size)
    row = KeyEpoch(
        epoch=1,
        suite=suite,
        provider=provider.name,
        wrapped=provider.wrap(key, context=_context(1, suite)),
        check_value=_check(suite.mac, key),
    )
    KeyEpoch.objects.using(_alias()).bulk_create([row], ignore_conflicts=True)


def _wrap(epoch: KeyEpoch, key: bytes, *, aad: bytes) -> bytes:
    nonce = os.urandom(NONCE_SIZE)
    return nonce + suites.encrypt(
        Suite(epoch.suite), key=_key_of(epoch), nonce=nonce, plaintext=key, aad=aad
    )


def _unwrap(epoch: KeyEpoch, wrapped: _Column, *, mac: Mac, check: _Column, aad: bytes) -> bytes:
    nonce, ciphertext = bytes(wrapped[:NONCE_SIZE]), bytes(wrapped[NONCE_SIZE:])
    wrapping = _key_of(epoch)
    try:
        key = suites.decrypt(
            Suite(epoch.suite), key=wrapping, nonce=nonce, ciphertext=ciphertext, aad=aad
        )
    except (suites.WrongTag, ValueError):
        raise WrongKey from None
    return _checked(mac, key, bytes(check))


def _key_of(epoch: KeyEpoch) -> bytes:
    return _unwrap_epoch(
        epoch.provider,
        epoch.epoch,
        Suite(epoch.suite),
        bytes(epoch.wrapped),
        bytes(epoch.check_value),
    )


# Remembered by what was unwrapped, not by number: an epoch that was rolled back and made
# again under the same number is another epoch.
@lru_cache(maxsize=16)
def _unwrap_epoch(provider: str, epoch: int, suite: Suite, wrapped: bytes, check: bytes) -> bytes:
    try:
        key = _provider(provider).unwrap(wrapped, context=_context(epoch, suite))
    except KeyRefused:
        raise WrongKey from None
    return _checked(suite.mac, key, check)


def _provider(name: str) -> KeyProvider:
    if name == FileProvider.name:
        return FileProvider(Path(settings.KEY_FILE))
    raise ImproperlyConfigured(f"KEY_PROVIDER: no provider is called {name!r}")


def _configured_suite() -> Suite:
    try:
        return Suite.named(settings.CRYPTO_SUITE)
    except ValueError as exc:
        raise ImproperlyConfigured(f"CRYPTO_SUITE: {exc}") from None


def _context(epoch: int, suite: Suite) -> bytes:
    return pack(b"hfe-kek", _u32(epoch), _u32(suite))


def _check(mac: Mac, key: bytes) -> bytes:
    return mac.digest(key, b"kcv")[:_CHECK_SIZE]


def _checked(mac: Mac, key: bytes, check: bytes) -> bytes:
    if not constant_time.bytes_eq(_check(mac, key), check):
        raise WrongKey
    return key


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
