"""
Compare and set, for many rows at once.

A row is only written where it still is what was read; whoever changed it meanwhile has the
last word. On PostgreSQL a row somebody has locked is passed over: nobody who holds one of our
rows is ever waited for, so no transaction of theirs can end in a deadlock with us.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, slots=True)
class Swap:
    """What a row's columns were, and what they become."""

    pk: Any
    old: Sequence[Any]
    new: Sequence[Any]


def swap(
    model: type[models.Model],
    columns: Sequence["models.Field[Any, Any]"],
    swaps: Sequence[Swap],
    *,
    using: str,
) -> int:
    """
    Write the rows that are still as they were; return how many.

    :raises IntegrityError: the database forbids one of the new values
    """
    if not swaps:
        return 0
    connection = connections[using]
    by = _with_arrays if connection.vendor == "postgresql" else _one_by_one
    return by(connection, model, columns, swaps)


def _one_by_one(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    columns: Sequence["models.Field[Any, Any]"],
    swaps: Sequence[Swap],
) -> int:
    quoted, key = connection.ops.quote_name, _key(model)
    names = [quoted(str(column.column)) for column in columns]
    sets = ", ".join(f"{name} = %s" for name in names)
    same = " AND ".join(f"{name} IS %s" for name in names)
    table, pk = quoted(model._meta.db_table), quoted(str(key.column))
    sql = f"UPDATE {table} SET {sets} WHERE {pk} = %s AND {same}"  # noqa: S608 (names of ours)
    with connection.cursor() as cursor:
        cursor.executemany(
            sql,
            [(*one.new, key.get_db_prep_value(one.pk, connection), *one.old) for one in swaps],
        )
        return int(cursor.rowcount)


def _with_arrays(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    columns: Sequence["models.Field[Any, Any]"],
    swaps: Sequence[Swap],
) -> int:
    quoted, key = connection.ops.quote_name, _key(model)
    table, pk = quoted(model._meta.db_table), quoted(str(key.column))
    names = [quoted(str(column.column)) for column in columns]
    arrays = [f"%s::{key.cast_db_type(connection)}[]"]
    params = [_array([one.pk for one in swaps])]
    for place, column in enumerate(columns):
        arrays += [f"%s::{column.cast_db_type(connection)}[]"] * 2
        params += [_array([one.old[place] for one in swaps])]
        params += [_array([one.new[place] for one in swaps])]
    given = ", ".join(f"old{place}, new{place}" for place in range(len(names)))
    sets = ", ".join(f"{name} = given.new{place}" for place, name in enumerate(names))
    same = " AND ".join(
        f"mine.{name} IS NOT DISTINCT FROM given.old{place}" for place, name in enumerate(names)
    )
    sql = (
        f"WITH free AS (SELECT {pk} AS pk FROM {table} WHERE {pk} = ANY({arrays[0]})"  # noqa: S608 (names of ours)
        f" FOR NO KEY UPDATE SKIP LOCKED)"
        f" UPDATE {table} AS mine SET {sets}"
        f" FROM unnest({', '.join(arrays)}) AS given(pk, {given}), free"
        f" WHERE mine.{pk} = given.pk AND free.pk = given.pk AND {same}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [params[0], *params])
        return int(cursor.rowcount)


def _array(values: Sequence[Any]) -> str:
    """Write an array as PostgreSQL reads it; psycopg takes a third of a rotation to do it."""
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bytes():
            return f'"\\\\x{value.hex()}"'
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
    return str(value)


def _key(model: type[models.Model]) -> "models.Field[Any, Any]":
    key = model._meta.pk
    assert key is not None  # noqa: S101 (every model of a table has one)
    return key
