"""What a query may do with a sealed column: select it, count it, and ask whether it is NULL."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.core.exceptions import FieldError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count
from django.db.models.expressions import BaseExpression, Col
from django.db.models.lookups import IsNull
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLDeleteCompiler, SQLUpdateCompiler


class SealedCol(Col):
    """
    The column, as something to select and nothing else.

    Sorting and comparing sealed values means nothing, and would do so silently.
    """

    target: Any  # a SealedField

    @property
    def _output_field_or_none(self) -> Any:  # asked by functions and aggregates
        return self.target.refuse("在函数中使用")

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        # A SELECT fills `select` first; what is compiled later sorts, compares or makes
        # distinct. The others never select.
        if compiler.select is not None or isinstance(
            compiler, SQLUpdateCompiler | SQLDeleteCompiler
        ):
            self.target.refuse("排序或比较")
        for expression in compiler.query.annotation_select.values():
            for col in _used_by(expression):
                col.target.refuse("在注解或函数中使用")
        if _compares_rows(compiler.query) and not self._is_with_its_row(compiler.query):
            self.target.refuse("去重、分组、合并或作为子查询")
        # By its position in the SELECT, perhaps, where nothing is compiled again.
        if self.target in _sorted_by(compiler.query):
            self.target.refuse("排序或比较")
        return super().as_sql(compiler, connection)

    def get_group_by_cols(self) -> list[BaseExpression]:
        # Some databases want every selected column in GROUP BY.
        return [_plain(self)]

    def _is_with_its_row(self, query: Query) -> bool:
        """Whether the row's key is selected too: then no two sealed values are compared."""
        return query.default_cols or any(
            isinstance(col, Col) and col.alias == self.alias and col.target.primary_key
            for col in query.select
        )


class SealedIsNull(IsNull):
    """Whether there is a value: the one question the column answers."""

    def __init__(self, lhs: Any, rhs: Any) -> None:
        super().__init__(_plain(lhs) if isinstance(lhs, SealedCol) else lhs, rhs)


def _plain(col: Col) -> Col:
    return Col(col.alias, col.target, col.output_field)


def _used_by(expression: Any) -> Iterator[SealedCol]:
    """Yield the sealed columns of which more is asked than how often there is a value."""
    parts = _parts(expression)
    if type(expression) is Count and not expression.distinct:  # type: ignore[attr-defined]
        _counted, *rest = expression.get_source_expressions()
        parts = (part for one in rest for part in _parts(one))
    return (part for part in parts if isinstance(part, SealedCol))


def _parts(expression: Any) -> Iterator[Any]:
    yield expression
    for part in getattr(expression, "get_source_expressions", list)():
        yield from _parts(part)


def _compares_rows(query: Query) -> bool:
    merges = query.combinator and not query.combinator_all
    return bool(query.distinct or merges or query.group_by is not None or query.subquery)


def _sorted_by(query: Query) -> Iterator[Any]:
    """Yield the fields a query is sorted by, as far as it is sorted by fields."""
    meta = query.get_meta()
    for term in query.order_by or (query.default_ordering and meta.ordering) or ():
        for part in _parts(term):
            name = part if isinstance(part, str) else getattr(part, "name", "")  # of an F
            with suppress(FieldError):  # an annotation, or at random
                yield from query.names_to_path(name.removeprefix("-").split("__"), meta)[2]
