"""
The ledger in a table, for several hosts: on a database that no backup of the others holds.

Its connection is its own, and so is its transaction: what was added stays, whatever becomes of the
transaction on the patients' database that it was added in. It is asked a few times a minute, so no
connection is kept. On PostgreSQL a trigger refuses whatever is not an INSERT.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from django.db import Error, IntegrityError, connections, transaction

from hospital.privacy.erasing.ledger import BEGIN, Broken, Lost, Mark
from hospital.privacy.erasing.routing import DATABASE, TABLE

_BEHIND: Final = f"SELECT place, line FROM {TABLE} WHERE place >= %s ORDER BY place"  # noqa: S608
_INSERT: Final = f"INSERT INTO {TABLE} (place, line) VALUES (%s, %s)"  # noqa: S608
# Whatever the server's own setting is: what was answered is on its disk.
_DURABLY: Final = "SET LOCAL synchronous_commit TO on"


@dataclass(frozen=True)
class Table:
    """One row a line, without its end; the key is its place."""

    def __str__(self) -> str:
        return "LEDGER_DATABASE_URL"

    def behind(self, mark: Mark) -> list[bytes]:
        with _cursor() as cursor:
            cursor.execute(_BEHIND, [mark.place])
            rows = cursor.fetchall()
        lines = [str(line).encode() + b"\n" for _, line in rows]
        if mark != BEGIN:
            if not lines:
                raise Lost
            if not lines.pop(0).endswith(mark.ending):
                raise Broken
        first = max(mark.place, 1)
        if [place for place, _ in rows] != [*range(first, first + len(rows))]:
            raise Broken
        return lines

    def add(self, text: bytes, *, after: Mark) -> None:
        with _cursor() as cursor, transaction.atomic(using=DATABASE, durable=True):
            if cursor.db.vendor == "postgresql":
                cursor.execute(_DURABLY)
            _insert(cursor, after.place + 1, text.removesuffix(b"\n").decode())


def _insert(cursor: Any, place: int, line: str) -> None:
    cursor.execute(_INSERT, [place, line])


@contextmanager
def _cursor() -> Iterator[Any]:
    """:raises OSError: the database is away, or refuses"""
    connection = connections[DATABASE]
    try:
        with connection.cursor() as cursor:
            yield cursor
    except IntegrityError as exc:
        raise OSError(errno.EEXIST, "删除台账的这一行已由别处写入") from exc
    except Error as exc:
        raise OSError(errno.EIO, "删除台账的数据库没有应答或拒绝") from exc
    finally:
        connection.close()
