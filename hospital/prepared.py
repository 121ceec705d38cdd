"""
Queries that every request asks, with their SQL written once in a process.

Django writes a query's SQL anew each time it is asked, which takes several times as long as
having it answered. Only the writing is saved: the row is read from the database every time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.query import RelatedPopulator, get_related_populators

M = TypeVar("M", bound=models.Model)

_TEXT = "\N{REPLACEMENT CHARACTER}"  # in the place of what is looked for, while SQL is written


class Prepared(Generic[M]):
    """
    The first row of a queryset that looks for one text, such as a key's id.

    :param rows: makes the queryset for a text; the same for any text but for that
    """

    def __init__(self, rows: Callable[[str], models.QuerySet[M]]) -> None:
        self._rows = rows
        self._plan: _Plan[M] | None = None

    def first(self, text: str = "") -> M | None:
        """Return what `rows(text).first()` would, though of several rows any."""
        if self._plan is None:
            self._plan = _planned(self._rows(_TEXT)[:1])
        return self._plan.first(text)


@dataclass(frozen=True)
class _Plan(Generic[M]):
    """What Django's compiler made of a queryset."""

    sql: str
    params: tuple[Any, ...]
    converters: dict[int, tuple[list[Callable[..., Any]], Any]]
    model: type[M]
    columns: slice  # of the row: those of the model itself
    names: list[str]  # their attributes
    related: list[RelatedPopulator]

    def first(self, text: str) -> M | None:
        database = connections[DEFAULT_DB_ALIAS]
        with database.cursor() as cursor:
            cursor.execute(self.sql, [text if one == _TEXT else one for one in self.params])
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


def _planned(rows: models.QuerySet[M]) -> _Plan[M]:
    compiler = rows.query.get_compiler(rows.db)
    sql, params = compiler.as_sql()
    select, of = compiler.select, compiler.klass_info
    columns = slice(of["select_fields"][0], of["select_fields"][-1] + 1)
    return _Plan(
        sql,
        tuple(params),
        compiler.get_converters([column for column, _, _ in select]),
        rows.model,
        columns,
        [column.target.attname for column, _, _ in select[columns]],
        get_related_populators(of, select, rows.db),  # type: ignore[call-arg]  # stubs of 6.1
    )
