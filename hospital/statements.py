"""
Statements of the path every patient takes, put together by hand from what the models say.

Django takes several times longer to write one than the database to carry it out. They do what
`save(force_insert=True)` and `filter(…).update(…)` do, for rows that nobody listens to.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

_Field: TypeAlias = "models.Field[Any, Any]"  # in words: nothing patches Django everywhere
_MANY_AT_ONCE: Final = frozenset({"postgresql"})  # those where a statement has room for others


def insert(*rows: models.Model, using: str = DEFAULT_DB_ALIAS) -> None:
    """
    Insert new rows; on PostgreSQL all of them in one statement, and in no order.

    Where the database numbers them, only the last learns its number.

    :raises IntegrityError: of whichever is there already
    """
    database = connections[using]
    made = [(_insertion(type(row)), _values(row, database)) for row in rows]
    if database.vendor in _MANY_AT_ONCE:
        made = [(_at_once([sql for sql, _ in made]), [one for _, values in made for one in values])]
    with lasting_cursor(database) as cursor:
        for sql, values in made:
            cursor.execute(sql, values)
        if _is_numbered(type(rows[-1])):
            (rows[-1].pk,) = cursor.fetchone()
    for row in rows:
        _settled(row, using)


def insert_while(
    row: models.Model,
    model: type[models.Model],
    where: Mapping[str, Any],
    *,
    using: str = DEFAULT_DB_ALIAS,
) -> bool:
    """
    Insert a new row if there is one of `model` whose fields are as `where` says; return whether.

    :raises IntegrityError: of the new row, which is there already
    """
    database = connections[using]
    conditions, params = _conditions(model, where, database)
    columns, marks = _columns(type(row))
    statement = (
        f'INSERT INTO "{row._meta.db_table}" ({columns}) SELECT {marks}'  # noqa: S608 (names of ours)
        f' FROM "{model._meta.db_table}" WHERE {conditions}'
    )
    with lasting_cursor(database) as cursor:
        cursor.execute(statement, [*_values(row, database), *params])
        is_done = bool(cursor.rowcount)
    if is_done:
        _settled(row, using)
    return is_done


def change(
    model: type[models.Model],
    values: Mapping[str, Any],
    *,
    where: Mapping[str, Any],
    among: Iterable[tuple[str, Iterable[Any]]] = (),
    using: str = DEFAULT_DB_ALIAS,
) -> int:
    """
    Change the rows whose fields are as `where` says; return how many there were.

    :param among: fields that may have one of several values
    """
    return changing(model, values, where=where, among=among, using=using).make()


@dataclass(frozen=True)
class Change:
    """What is to become of the rows of a table, put together and not done yet."""

    table: str
    sql: str
    params: list[Any] = field(repr=False)
    database: BaseDatabaseWrapper

    @property
    def can_be_read(self) -> bool:
        """Whether what it changes can be asked for in the same statement."""
        return self.database.vendor in _MANY_AT_ONCE

    def make(self) -> int:
        """Return how many rows there were to change."""
        with lasting_cursor(self.database) as cursor:
            cursor.execute(self.sql, self.params)
            return int(cursor.rowcount)

    def make_and_insert(self, row: models.Model) -> bool:
        """
        Change what there is and insert a row about it, or neither; return whether.

        :raises IntegrityError: of the new row, which is there already
        """
        if not self.can_be_read:
            with transaction.atomic(using=self.database.alias):
                if is_made := bool(self.make()):
                    insert(row, using=self.database.alias)
            return is_made
        columns, marks = _columns(type(row))
        insertion = f'INSERT INTO "{row._meta.db_table}" ({columns}) SELECT {marks}'
        both = f"WITH made AS ({self.sql} RETURNING 1) {insertion} WHERE EXISTS (SELECT FROM made)"
        with lasting_cursor(self.database) as cursor:
            cursor.execute(both, [*self.params, *_values(row, self.database)])
            is_made = bool(cursor.rowcount)
        if is_made:
            _settled(row, self.database.alias)
        return is_made


def changing(
    model: type[models.Model],
    values: Mapping[str, Any],
    *,
    where: Mapping[str, Any],
    among: Iterable[tuple[str, Iterable[Any]]] = (),
    at_most: Mapping[str, Any] = MappingProxyType({}),
    more: str = "",
    using: str = DEFAULT_DB_ALIAS,
) -> Change:
    """
    Return what `change` does, for who does it together with something else.

    :param among: fields that may have one of several values
    :param at_most: fields that may have this value or a lesser one
    :param more: a number that grows by one
    """
    database = connections[using]
    given = [(_field(model, name), value) for name, value in values.items()]
    changes = [f'"{column.column}" = %s' for column, _ in given]
    if more:
        column = _field(model, more).column
        changes.append(f'"{column}" = "{column}" + 1')
    conditions, asked = _conditions(model, where, database, among=among, at_most=at_most)
    params = [field.get_db_prep_save(_key(value), database) for field, value in given]
    table = model._meta.db_table
    statement = f'UPDATE "{table}" SET {", ".join(changes)} WHERE {conditions}'  # noqa: S608 (names of ours)
    return Change(table, statement, params + asked, database)


def lasting_cursor(database: BaseDatabaseWrapper) -> AbstractContextManager[CursorWrapper]:
    """
    Return a cursor for statements of which nothing is left once they are answered.

    On PostgreSQL the same one while its connection is in use, since making one takes as long as
    carrying out a statement; and the server plans what comes often once. Django's own quote each
    value here instead, and so may have more of them than the server takes at once.
    """
    if database.vendor not in _MANY_AT_ONCE or database.queries_logged:
        return database.cursor()
    driver, cursor = getattr(database, "lasting_cursor", (None, None))
    if driver is None or driver is not database.connection:
        cursor = _preparing_cursor(database)
        database.lasting_cursor = database.connection, cursor  # type: ignore[attr-defined]
    return nullcontext(cursor)  # type: ignore[arg-type]


def _preparing_cursor(database: BaseDatabaseWrapper) -> CursorWrapper:
    from django.db.backends.postgresql.base import (  # noqa: PLC0415 (not on SQLite)
        ServerBindingCursor,
    )

    with database.cursor():  # connected, and found to be of use
        cursor: Any = ServerBindingCursor
        return database.make_cursor(cursor(database.connection))


def _conditions(
    model: type[models.Model],
    where: Mapping[str, Any],
    database: BaseDatabaseWrapper,
    *,
    among: Iterable[tuple[str, Iterable[Any]]] = (),
    at_most: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[str, list[Any]]:
    """Return a condition and its values; None is what is not there."""
    asked = [(_field(model, name), [value], "=") for name, value in where.items()]
    asked += [(_field(model, name), [*several], "IN") for name, several in among]
    asked += [(_field(model, name), [value], "<=") for name, value in at_most.items()]
    absent = [field for field, some, _ in asked if some == [None]]
    asked = [one for one in asked if one[0] not in absent]
    conditions = [f'"{field.column}" IS NULL' for field in absent] + [
        f'"{field.column}" {sign} ({", ".join(["%s"] * len(some))})' for field, some, sign in asked
    ]
    params = [field.get_db_prep_value(one, database) for field, some, _ in asked for one in some]
    return " AND ".join(conditions), params


def _at_once(insertions: list[str]) -> str:
    *others, last = insertions
    if not others:
        return last
    parts = ", ".join(f"part{number} AS ({one})" for number, one in enumerate(others))
    return f"WITH {parts} {last}"


@cache
def _insertion(model: type[models.Model]) -> str:
    columns, marks = _columns(model)
    insertion = f'INSERT INTO "{model._meta.db_table}" ({columns}) VALUES ({marks})'  # noqa: S608 (names of ours)
    return f'{insertion} RETURNING "{model._meta.pk.column}"' if _is_numbered(model) else insertion


@cache
def _is_numbered(model: type[models.Model]) -> bool:
    """Whether the database gives its rows their keys."""
    return isinstance(model._meta.pk, models.AutoField)


@cache
def _columns(model: type[models.Model]) -> tuple[str, str]:
    columns = [f'"{field.column}"' for field in _written(model)]
    return ", ".join(columns), ", ".join(["%s"] * len(columns))


@cache
def _written(model: type[models.Model]) -> "list[_Field]":
    """Return the fields whose columns the database does not fill itself."""
    return [
        field
        for field in model._meta.concrete_fields
        if not field.generated and not isinstance(field, models.AutoField)
    ]


def _values(row: models.Model, database: BaseDatabaseWrapper) -> list[Any]:
    return [
        field.get_db_prep_save(field.pre_save(row, add=True), database)
        for field in _written(type(row))
    ]


def _settled(row: models.Model, using: str) -> None:
    state = row._state  # noqa: SLF001 (as `save` does)
    state.adding, state.db = False, using


@cache
def _field(model: type[models.Model], name: str) -> "_Field":
    field = model._meta.get_field(name)
    assert isinstance(field, models.Field)  # noqa: S101 (a column)
    return field


def _key(value: Any) -> Any:
    return value.pk if isinstance(value, models.Model) else value
