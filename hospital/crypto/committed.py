"""
What this process may remember of the key tables: only what is committed.

A key made inside a transaction that then rolls back must be forgotten with it, or the
process would go on sealing with a key no database has. So what is read inside a
transaction is held by that transaction's own list of things to do on commit, and by
nothing else: here is only a weak reference. Django drops the entry when the transaction,
or the savepoint it was read under, rolls back, and the keys are gone at that instant; on
commit it calls the entry, which hands the keys to the whole process.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from django.db import connections, transaction

from hospital.crypto.expiring import Expiring

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Committed(Generic[K, V]):
    """Rows read from one database, remembered for a while by the whole process."""

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._shared: Expiring[K, V] = Expiring(size=size)
        # What the whole process knows, and not a transaction alone; every reading passes here.
        self.shared = self._shared.get
        self._open: WeakKeyDictionary[
            BaseDatabaseWrapper, WeakValueDictionary[frozenset[str], _Unpublished[K, V]]
        ] = WeakKeyDictionary()

    def get(self, key: K, *, using: str) -> V | None:
        value = self._shared.get(key)
        if value is not None or not connections[using].in_atomic_block:
            return value
        for unpublished in self._unpublished(using).values():
            value = unpublished.rows.get(key)
            if value is not None:
                return value
        return None

    def missing(self, keys: Iterable[K], *, using: str) -> list[K]:
        """Return the keys that are not remembered."""
        missing = self._shared.missing(keys)
        if not connections[using].in_atomic_block:
            return missing
        return [key for key in missing if self.get(key, using=using) is None]

    def put(self, key: K, value: V, *, seconds: float, using: str) -> None:
        """Remember a row just read over the connection `using`."""
        self.put_all({key: value}, seconds=seconds, using=using)

    def put_all(self, read: Mapping[K, V], *, seconds: float, using: str) -> None:
        """Remember rows just read over the connection `using`."""
        connection = connections[using]
        if not connection.in_atomic_block:
            self._shared.put_all(read, seconds=seconds)
            return
        savepoints = frozenset(connection.savepoint_ids)
        unpublished = self._unpublished(using).get(savepoints)
        if unpublished is None:
            unpublished = _Unpublished(self._shared, size=self._size)
            self._unpublished(using)[savepoints] = unpublished
            transaction.on_commit(unpublished, using=using)
        unpublished.rows.put_all(read, seconds=seconds)

    def drop(self, unwanted: Callable[[K], bool], *, using: str) -> None:
        """Forget at once, and again on commit: another thread may read the old row until then."""
        self._shared.drop(unwanted)
        for unpublished in self._unpublished(using).values():
            unpublished.rows.drop(unwanted)
        transaction.on_commit(partial(self._shared.drop, unwanted), using=using)

    def clear(self) -> None:
        self._shared.clear()
        self._open.clear()

    def _unpublished(self, using: str) -> "WeakValueDictionary[frozenset[str], _Unpublished[K, V]]":
        return self._open.setdefault(connections[using], WeakValueDictionary())


class _Unpublished(Generic[K, V]):
    """What one transaction has read, until it commits."""

    def __init__(self, shared: Expiring[K, V], *, size: int) -> None:
        self.rows: Expiring[K, V] = Expiring(size=size)
        self._shared = shared

    def __call__(self) -> None:
        self._shared.take_over(self.rows)
