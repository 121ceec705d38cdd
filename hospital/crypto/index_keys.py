"""
The keys of the blind indexes: per label and version, random, as secret as the data.

A version lives in one of two columns, its slot, and passes through four states. While two
are alive both columns are written, so that uniqueness and finding hold at every moment of a
rotation:

    filling    written, not searched: the column is being filled
    active     written and searched
    retiring   written, not searched any more: other processes may still search it
    retired    not written: the column is being emptied, then the key is destroyed
"""

import os
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings
from django.db.models import QuerySet

from hospital.crypto import epochs
from hospital.crypto.committed import Committed
from hospital.crypto.data_keys import UnknownKey
from hospital.crypto.epochs import Epoch
from hospital.crypto.models import IndexKey, key_database
from hospital.crypto.sealing import pack
from hospital.crypto.suites import MAC_SIZE, Mac, MacKey
from hospital.crypto.wrapping import check_value, checked, u32, unwrap, wrap

_REMEMBERED: Final = 100  # labels
_State = IndexKey.State


@dataclass(frozen=True, kw_only=True)
class IndexSecret:
    """An index key, unwrapped and ready. Two are equal if they are the same key."""

    version: int
    state: str
    normaliser: str
    mac: MacKey = field(repr=False, compare=False)
    check: bytes

    @property
    def slot(self) -> int:
        """Which of the two columns this version lives in."""
        return (self.version - 1) % 2

    @property
    def is_written(self) -> bool:
        return self.state != _State.RETIRED


@dataclass(frozen=True)
class IndexKeys:
    """Every version of one label that is not destroyed, newest first."""

    label: str
    versions: tuple[IndexSecret, ...]

    @property
    def active(self) -> IndexSecret:
        """
        The version that is searched.

        :raises UnknownKey: there is none, which no rotation leaves behind
        """
        for one in self.versions:
            if one.state == _State.ACTIVE:
                return one
        raise UnknownKey

    def written_to(self, slot: int) -> IndexSecret | None:
        """Return the version to fill this column by, if any."""
        for one in self.versions:
            if one.slot == slot and one.is_written:
                return one
        return None


_known: Final[Committed[str, IndexKeys]] = Committed(size=_REMEMBERED)


def index_keys(label: str, *, normaliser: str) -> IndexKeys:
    """
    Return the keys of a blind index; the first is made on first use, for `normaliser`.

    :raises KeyUnavailable, WrongKey:
    """
    keys = _known.get(label, using=key_database())
    if keys is not None:
        return keys
    rows = list(_rows(label))
    if not rows:
        _make_first(label, normaliser)
        rows = list(_rows(label))
    keys = IndexKeys(label, tuple(opened(row) for row in rows))
    _known.put(label, keys, seconds=settings.KEY_CACHE_SECONDS, using=key_database())
    return keys


def new_key(
    label: str, version: int, *, normaliser: str, algorithm: Mac, state: str, epoch: Epoch
) -> IndexKey:
    """Return a random key, wrapped and not saved yet."""
    secret = os.urandom(MAC_SIZE)
    aad = wrapping_aad(label, version, algorithm, epoch)
    return IndexKey(
        label=label,
        version=version,
        algorithm=algorithm,
        normaliser=normaliser,
        state=state,
        epoch_id=epoch.pk,
        wrapped=wrap(epoch.key, secret, aad=aad),
        check_value=check_value(algorithm, secret),
    )


def wrapping_aad(label: str, version: int, algorithm: Mac, epoch: Epoch) -> bytes:
    """Return what a wrapped index key is bound to."""
    return pack(b"hfe-ixk", label.encode(), u32(version), u32(algorithm), u32(epoch.number))


def opened(row: IndexKey) -> IndexSecret:
    """
    Return the key of a row that was read together with its epoch.

    :raises KeyUnavailable, WrongKey:
    """
    algorithm, check = Mac(row.algorithm), bytes(row.check_value)
    epoch = epochs.opened(row.epoch_id, bytes(row.epoch.check_value))
    aad = wrapping_aad(row.label, row.version, algorithm, epoch)
    secret = unwrap(epoch.key, bytes(row.wrapped or b""), aad=aad)
    key = checked(secret, algorithm=algorithm, check=check)
    return IndexSecret(
        version=row.version,
        state=row.state,
        normaliser=row.normaliser,
        mac=MacKey(algorithm, key),
        check=check,
    )


def forget() -> None:
    """Forget every index key this process holds."""
    _known.clear()


def _rows(label: str) -> QuerySet[IndexKey]:
    rows = IndexKey.objects.using(key_database()).filter(label=label, wrapped__isnull=False)
    return rows.select_related("epoch").order_by("-version")


def _make_first(label: str, normaliser: str) -> None:
    algorithm, epoch = epochs.configured_suite().mac, epochs.active()
    row = new_key(
        label, 1, normaliser=normaliser, algorithm=algorithm, state=_State.ACTIVE, epoch=epoch
    )
    # Another process may be doing the same: the first row stands, and is read again.
    IndexKey.objects.using(key_database()).bulk_create([row], ignore_conflicts=True)
