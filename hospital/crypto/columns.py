"""What a query may do with a sealed column: select it, and ask whether it is NULL."""

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import BaseExpression, Col
from django.db.models.lookups import IsNull


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
        # The compiler fills `select` first; what it compiles later sorts, compares or
        # makes distinct.
        if compiler.select is not None:
            self.target.refuse("排序或比较")
        return super().as_sql(compiler, connection)

    def get_group_by_cols(self) -> list[BaseExpression]:
        # Some databases want every selected column in GROUP BY.
        return [_plain(self)]


class SealedIsNull(IsNull):
    """Whether there is a value: the one question the column answers."""

    def __init__(self, lhs: Any, rhs: Any) -> None:
        super().__init__(_plain(lhs) if isinstance(lhs, SealedCol) else lhs, rhs)


def _plain(col: Col) -> Col:
    return Col(col.alias, col.target, col.output_field)
