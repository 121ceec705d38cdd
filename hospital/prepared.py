"""
Queries that every request asks, with their SQL written once in a process.

Django writes a query's SQL anew each time it is asked, which takes several times as long as
having it answered. Only the writing is saved: the row is read from the database every time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.query import RelatedPopulator, get_related_populators

from hospital import statements

M = TypeVar("M", bound=models.Model)

_TEXT = "\N{REPLACEMENT CHARACTER}"  # in the place of what is looked for, while SQL is written


class Prepared(Generic[M]):
    """
    The first row of a queryset that looks for one text or UUID, such as a key's id.

    :param rows: makes the queryset for one; the same for any but for that
    :param like: one that nobody looks for, where not any text will do
    """

    def __init__(
        self, rows: Callable[[Any], models.QuerySet[M]], *, like: str | UUID = _TEXT
    ) -> None:
        self._rows = rows
        self._like = like
        self._plan: _Plan[M] | None = None

    def first(self, one: str | UUID = "") -> M | None:
        """Return what `rows(one).first()` would, though of several rows any."""
        return self._ready().first(one)

    def changed(self, one: str | UUID, change: statements.Change) -> M | None:
        """Make a change to the row `rows(one)` finds, and return it as it is since; None if not."""
        return self._ready().changed(one, change)

    def _ready(self) -> "_Plan[M]":
        if self._plan is None:
            self._plan = _planned(self._rows(self._like)[:1], self._like)
        return self._plan


@dataclass(frozen=True)
class _Plan(Generic[M]):
    """What Django's compiler made of a queryset."""

    sql: str
    params: tuple[Any, ...]
    like: str | UUID  # what stands among them for what is looked for
    converters: dict[int, tuple[list[Callable[..., Any]], Any]]
    model: type[M]
    columns: slice  # of the row: those of the model itself
    names: list[str]  # their attributes
    related: list[RelatedPopulator]

    def first(self, wanted: str | UUID) -> M | None:
        return self._fetched(wanted, "", [])

    def changed(self, wanted: str | UUID, change: statements.Change) -> M | None:
        if not change.can_be_read:
            return self.first(wanted) if change.make() else None
        # Within the query the table's name is that of what was changed.
        begin = f'WITH "{change.table}" AS ({change.sql} RETURNING *) '
        return self._fetched(wanted, begin, change.params)

    def _fetched(self, wanted: str | UUID, begin: str, params: list[Any]) -> M | None:
        database = connections[DEFAULT_DB_ALIAS]
        looked_for = _param(wanted, database)
        asked = [looked_for if one == self.like else one for one in self.params]
        with statements.lasting_cursor(database) as cursor:
            cursor.execute(begin + self.sql, [*params, *asked])
            row = cursor.fetchone()
        return None if row is None else self._instance(list(row), database)

    def _instance(self, row: list[Any], database: BaseDatabaseWrapper) -> M:
        for position, (converters, expression) in self.converters.items():
            for convert in converters:
                row[position] = convert(row[position], expression, database)
        made = self.model.from_db(database.alias, self.names, row[self.columns])
        for relation in self.related:
            relation.populate(row, made)
        return made


def _param(value: str | UUID, database: BaseDatabaseWrapper) -> str | UUID:
    is_native = not isinstance(value, UUID) or database.features.has_native_uuid_field
    return value if is_native else value.hex  # type: ignore[union-attr]  # a UUID


def _planned(rows: models.QuerySet[M], like: str | UUID) -> _Plan[M]:
    compiler = rows.query.get_compiler(rows.db)
    sql, params = compiler.as_sql()
    select, of = compiler.select, compiler.klass_info
    columns = slice(of["select_fields"][0], of["select_fields"][-1] + 1)
    return _Plan(
        sql,
        tuple(params),
        _param(like, connections[rows.db]),
        compiler.get_converters([column for column, _, _ in select]),
        rows.model,
        columns,
        [column.target.attname for column, _, _ in select[columns]],
        get_related_populators(of, select, rows.db),  # type: ignore[call-arg]  # stubs of 6.1
    )
