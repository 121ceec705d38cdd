"""
SQLite has no number for a transaction: this makes one, as the function `audit_transaction()`.

Whoever changes a covered table over a connection that is not Django's has no such function, and
is refused.
"""

import weakref
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper


class _Ongoing:
    """
    A transaction that is going on. Django keeps it, among what is to be done on commit, for as
    long as that lasts; a savepoint that is rolled back lets go of it together with its changes.
    """

    def __init__(self) -> None:
        self.number = uuid4().hex

    def __call__(self) -> None:
        pass


class _Numbering:
    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = weakref.ref(connection)
        self._ongoing: weakref.ref[_Ongoing] | None = None

    def __call__(self) -> str:
        connection = self._connection()
        if connection is None or not connection.in_atomic_block:
            return uuid4().hex  # a statement by itself
        ongoing = self._ongoing() if self._ongoing else None
        if ongoing is None:
            ongoing = _Ongoing()
            self._ongoing = weakref.ref(ongoing)
            transaction.on_commit(ongoing, using=connection.alias)
        return ongoing.number


def number_transactions(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    """Give a new connection the function; for Django's signal `connection_created`."""
    if connection.vendor == "sqlite":
        connection.connection.create_function("audit_transaction", 0, _Numbering(connection))
