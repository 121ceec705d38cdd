"""
The data keys: one per patient and generation, random, wrapped by an epoch.

New values are sealed with the newest generation. An older one opens what is not sealed
again yet; rotation removes it when nothing is left on it.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from struct import Struct
from typing import ClassVar, Final
from uuid import UUID

from django.conf import settings
from django.db import connections, transaction
from django.db.models import QuerySet
from django.utils import timezone

from hospital import statements
from hospital.crypto import epochs
from hospital.crypto.committed import Committed
from hospital.crypto.epochs import Epoch
from hospital.crypto.models import DataKey, KeyEpoch, key_database
from hospital.crypto.sealing import Unopenable, UnsupportedSuite, header_of
from hospital.crypto.suites import Key, Suite
from hospital.crypto.wrapping import WrongKey, check_value, checked, unwrap, wrap
from hospital.errors import Refusal

# Operational secrets that belong to no patient: a pending face_sid, a cached credential.
SYSTEM_SUBJECT: Final = UUID("00000000-0000-7000-8000-000000000001")

_REMEMBERED: Final = 20_000  # keys per process, about 2.5 KB each
_AT_ONCE: Final = 5_000  # subjects per query
_AAD: Final = Struct(">I7s I16s II II II")


class UnknownKey(Unopenable):
    """A value asks for a key generation that this database never committed."""


class SubjectForgotten(Unopenable, Refusal):
    """The patient's key was destroyed. Expected: show the sentence."""

    code: ClassVar[str] = "forgotten"
    message: ClassVar[str] = "该患者信息已依法删除"


class DataSecret:
    """A data key, unwrapped and ready. Two are equal if they are the same key."""

    __slots__ = ("check", "generation", "header", "key")

    def __init__(self, generation: int, key: Key, check: bytes) -> None:
        self.generation = generation
        self.header = header_of(key.suite, generation)  # of every value sealed with it
        self.key = key
        self.check = check

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DataSecret):
            return NotImplemented
        return (self.generation, self.check) == (other.generation, other.check)

    def __hash__(self) -> int:
        return hash((self.generation, self.check))


# By a subject and a generation, or by a subject alone: the newest, which new values are sealed
# with. By the subject's number, since a UUID is hashed and compared in Python.
_known: Final[Committed[int | tuple[int, int], DataSecret]] = Committed(size=_REMEMBERED)

# Return the key new values of the subject of this number are sealed with, if this process has it
# and it is committed. Every reading of a sealed value passes here.
durable_key_of: Final = _known.shared

_COLUMNS: Final = (
    "subject",
    "generation",
    "suite",
    "wrapped",
    "check_value",
    "epoch_id",
    "epoch__check_value",
)


def data_key(subject: UUID) -> DataSecret:
    """
    Return the key to seal a subject's values with, made on first use.

    Two processes making the first key of one subject end with the same one. A key made
    in a transaction that rolls back is forgotten with it.

    :raises SubjectForgotten: it was destroyed; no second one is ever made
    :raises KeyUnavailable, WrongKey:
    """
    secret = _found(subject.int)
    if secret is not None:
        return secret
    row = _newest(subject)
    if row is None:
        _make([subject])
        row = _newest(subject)
    if row is None:
        raise UnknownKey
    return _remember(row, newest=True)


def begin(subject: UUID) -> None:
    """
    Make the key of a subject that has just been thought of: nobody can have made one before.

    :raises IntegrityError: somebody did
    :raises KeyUnavailable, WrongKey:
    """
    suite, epoch = epochs.configured_suite(), epochs.lately_active()
    with _one_transaction(key_database()):  # as in `_make`
        row, secret = _made(subject, 1, suite=suite, epoch=epoch)
        if not statements.insert_while(
            row, KeyEpoch, epochs.is_active(epoch), using=key_database()
        ):
            row, secret = _made(subject, 1, suite=suite, epoch=epochs.active())
            statements.insert(row, using=key_database())
        _put(subject, DataSecret(1, Key(suite, secret), bytes(row.check_value)), newest=True)


def data_key_of(subject: UUID, generation: int) -> DataSecret:
    """
    Return the key a value of this generation was sealed with.

    :raises SubjectForgotten: it was destroyed
    :raises UnknownKey: there never was one
    :raises KeyUnavailable, WrongKey:
    """
    secret = remembered(subject, generation)
    if secret is not None:
        return secret
    return _remember(_row_of(subject, generation))


def remembered(subject: UUID, generation: int) -> DataSecret | None:
    """Return the key of this generation if no query is needed for it."""
    return _found((subject.int, generation))


def vouch(subject: UUID, generation: int) -> None:
    """
    Make sure that the key of a value that did not open is the one that was made for it.

    :raises WrongKey: it is not: the value may be as it was sealed
    :raises SubjectForgotten, UnknownKey: it is gone since
    :raises KeyUnavailable:
    """
    _vouch(_row_of(subject, generation))


def prefetch(subjects: Iterable[UUID]) -> None:
    """
    Fetch the keys of many subjects in one query per 5,000, for lists.

    Forgotten, unknown and damaged keys are passed over: opening a value says so, and one
    bad row does not take the list with it.

    :raises KeyUnavailable:
    """
    for some in _batches(_unknown(subjects)):
        _remember_all(some)


def provide(subjects: Iterable[UUID]) -> None:
    """
    Make the keys that many subjects still lack, and fetch the others: three queries per 5,000.

    :raises KeyUnavailable, WrongKey:
    """
    for some in _batches(_unknown(subjects)):
        missing = {*some} - _remember_all(some)
        if missing:
            _make(sorted(missing))
            _remember_all(missing)


def destroy(subject: UUID, *, at: datetime | None = None) -> int:
    """
    Make everything sealed for a subject unreadable for ever; return how many keys that took.

    Other processes may still hold the key for up to `KEY_CACHE_SECONDS`. Backups of the
    key tables hold it, wrapped, until they expire. Destroying twice changes nothing.

    :raises ValueError: the system's own key is not a patient's
    """
    if subject == SYSTEM_SUBJECT:
        raise ValueError("the system's own key is not destroyed, it is rotated")
    alive = _rows().filter(subject=subject, wrapped__isnull=False)
    at, destroyed = at or timezone.now(), 0
    # Again until none is left: a rotation may have given the subject another meanwhile.
    while found := alive.update(wrapped=None, destroyed_at=at):
        destroyed += found
    _known.drop(lambda known: _whose(known) == subject.int, using=key_database())
    return destroyed


def alive(subjects: Iterable[UUID]) -> set[UUID]:
    """Return those of the subjects with a key that is not destroyed, as the database has it now."""
    found: set[UUID] = set()
    for some in _batches([*subjects]):
        rows = _rows().filter(subject__in=some, wrapped__isnull=False)
        found.update(rows.values_list("subject", flat=True))
    return found


@dataclass(frozen=True, slots=True)
class Generations:
    """Every key of one subject as the database has it now, opened when first asked for."""

    rows: dict[int, "_Row"] = field(default_factory=dict)
    _secrets: dict[int, DataSecret] = field(default_factory=dict, repr=False)

    @property
    def newest(self) -> int:
        return max(self.rows)

    @property
    def is_forgotten(self) -> bool:
        return self.rows[self.newest][3] is None

    def secret(self, generation: int) -> DataSecret:
        """
        Return one of them.

        :raises SubjectForgotten: it was destroyed
        :raises UnknownKey: there never was one, or it was rotated away
        :raises KeyUnavailable, WrongKey:
        """
        secret = self._secrets.get(generation)
        if secret is None:
            row = self.rows.get(generation)
            if row is None:
                raise UnknownKey
            secret = self._secrets[generation] = _opened(row)
        return secret

    def vouch(self, generation: int) -> None:
        """
        Do as the function of that name, without a query.

        :raises WrongKey, SubjectForgotten, UnknownKey, KeyUnavailable:
        """
        row = self.rows.get(generation)
        if row is None:
            raise UnknownKey
        _vouch(row)


def generations_of(subjects: Iterable[UUID]) -> dict[UUID, Generations]:
    """Read the keys of many subjects, past what this process remembers: a query per 5,000."""
    found: dict[UUID, Generations] = {}
    for some in _batches([*subjects]):
        for row in _rows().filter(subject__in=some).values_list(*_COLUMNS):
            mine = found.get(row[0])
            if mine is None:
                mine = found[row[0]] = Generations()
            mine.rows[row[1]] = row
    return found


def new_key(subject: UUID, generation: int, *, suite: Suite, epoch: Epoch) -> DataKey:
    """Return a random key, wrapped and not saved yet."""
    return _made(subject, generation, suite=suite, epoch=epoch)[0]


def wrapping_aad(subject: UUID, generation: int, suite: Suite, epoch: Epoch) -> bytes:
    """Return `pack` of a label, the subject, generation, suite and epoch; their sizes are fixed."""
    return _AAD.pack(7, b"hfe-dek", 16, subject.bytes, 4, generation, 4, suite, 4, epoch.number)


def forget() -> None:
    """Forget every data key this process holds."""
    _known.clear()


_SUITES: Final = {suite.value: suite for suite in Suite}  # Suite(number) takes four times as long
_Row = tuple[UUID, int, int, bytes | None, bytes, int, bytes]


def _rows() -> QuerySet[DataKey]:
    # The primary, also for reading: a row may reach a replica before its key does.
    return DataKey.objects.using(key_database())


def _found(known: int | tuple[int, int]) -> DataSecret | None:
    # Almost always it is committed; which database it is on takes longer to find out.
    return _known.shared(known) or _known.get(known, using=key_database())


def _whose(known: int | tuple[int, int]) -> int:
    return known if isinstance(known, int) else known[0]


def _newest(subject: UUID) -> _Row | None:
    return _rows().filter(subject=subject).order_by("-generation").values_list(*_COLUMNS).first()


def _row_of(subject: UUID, generation: int) -> "_Row":
    rows = _rows().filter(subject=subject, generation=generation)
    row: _Row | None = rows.values_list(*_COLUMNS).first()
    if row is None:
        raise UnknownKey
    return row


def _unknown(subjects: Iterable[UUID]) -> list[UUID]:
    once = {one.int: one for one in subjects}
    return [once[_whose(known)] for known in _known.missing(once, using=key_database())]


def _batches(subjects: Sequence[UUID]) -> Iterator[list[UUID]]:
    rest = iter(subjects)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def _make(subjects: Sequence[UUID]) -> None:
    suite = epochs.configured_suite()
    # In one transaction: a rotation waits for those that may still wrap under the old epoch.
    with _one_transaction(key_database()):
        epoch = epochs.active()
        # Another process may be doing the same: the first row stands, and is read again.
        _rows().bulk_create(
            [new_key(subject, 1, suite=suite, epoch=epoch) for subject in subjects],
            ignore_conflicts=True,
        )


def _one_transaction(using: str) -> AbstractContextManager[None]:
    return nullcontext() if connections[using].in_atomic_block else transaction.atomic(using=using)


def _remember_all(subjects: Iterable[UUID]) -> set[UUID]:
    """Return those of the subjects that have, or had, a key."""
    rows = _rows().filter(subject__in=subjects).order_by("generation")
    found: set[UUID] = set()
    opened: dict[int | tuple[int, int], DataSecret] = {}
    # Oldest first, so that the newest generation is what sealing finds in the end.
    for row in rows.values_list(*_COLUMNS):
        subject = row[0]
        found.add(subject)
        try:
            secret = _opened(row)
        except (WrongKey, SubjectForgotten, UnsupportedSuite):
            continue
        opened[subject.int, secret.generation] = opened[subject.int] = secret
    _known.put_all(opened, seconds=settings.KEY_CACHE_SECONDS, using=key_database())
    return found


def _made(subject: UUID, generation: int, *, suite: Suite, epoch: Epoch) -> tuple[DataKey, bytes]:
    secret = os.urandom(suite.key_size)
    aad = wrapping_aad(subject, generation, suite, epoch)
    row = DataKey(
        subject=subject,
        generation=generation,
        suite=suite,
        epoch_id=epoch.pk,
        wrapped=wrap(epoch.key, secret, aad=aad),
        check_value=check_value(suite.mac, secret),
    )
    return row, secret


def _remember(row: _Row, *, newest: bool = False) -> DataSecret:
    return _put(row[0], _opened(row), newest=newest)


def _put(subject: UUID, secret: DataSecret, *, newest: bool) -> DataSecret:
    number = subject.int
    opened: dict[int | tuple[int, int], DataSecret] = {(number, secret.generation): secret}
    if newest:
        opened[number] = secret
    _known.put_all(opened, seconds=settings.KEY_CACHE_SECONDS, using=key_database())
    return secret


def _opened(row: _Row) -> DataSecret:
    # Its tag says that it is the key that was wrapped; `vouch` looks at the check value, which
    # would take as long as all of this.
    suite, key = _unwrapped(row)
    return DataSecret(row[1], Key(suite, key), bytes(row[4]))


def _vouch(row: _Row) -> None:
    suite, key = _unwrapped(row)
    checked(key, algorithm=suite.mac, check=bytes(row[4]))


def _unwrapped(row: _Row) -> tuple[Suite, bytes]:
    subject, generation, number, wrapped, _check, epoch_pk, epoch_check = row
    if wrapped is None:
        raise SubjectForgotten
    suite = _SUITES.get(number)
    if suite is None:
        raise UnsupportedSuite
    epoch = epochs.opened(epoch_pk, bytes(epoch_check))
    aad = wrapping_aad(subject, generation, suite, epoch)
    return suite, unwrap(epoch.key, bytes(wrapped), aad=aad)
