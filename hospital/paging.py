"""
Lists that grow for ever, a page at a time: nothing is counted and nothing skipped.

A page begins where the one beside it ended, so that the last one takes as long as the first.
"""

from typing import Any, ClassVar, Final
from uuid import UUID

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

OLDER: Final = "before"  # in the address: the key whose page this follows
NEWER: Final = "after"


class Keyset(ChangeList):
    """A list in the order of its keys, newest first, and in no other."""

    is_counted: ClassVar = False
    older: str = ""
    newer: str = ""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        for asked in (self.params, self.filter_params):  # a place is no filter
            for name in (OLDER, NEWER):
                asked.pop(name, None)
        return super().get_queryset(request, exclude_parameters)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return ["-pk"]

    def get_ordering_field_columns(self) -> dict[int, Any]:
        return {}

    def get_results(self, request: HttpRequest) -> None:
        before, after = (self._place(request, name) for name in (OLDER, NEWER))
        rows, has_more = self._rows(before, after)
        self.result_list = rows
        self.result_count = len(rows)  # of this page
        self.full_result_count = None
        self.show_full_result_count = self.show_admin_actions = False
        self.can_show_all = self.multi_page = False
        self.paginator = self.model_admin.get_paginator(request, self.queryset, self.list_per_page)
        if rows and (has_more or after):
            self.older = self._address(OLDER, rows[-1])
        if rows and (has_more if after else before):
            self.newer = self._address(NEWER, rows[0])

    def _rows(self, before: UUID | None, after: UUID | None) -> tuple[list[Any], bool]:
        """Return a page, and whether there is more behind it in the direction of travel."""
        size, found = self.list_per_page, self.queryset
        if after:
            rows = list(found.filter(pk__gt=after).order_by("pk")[: size + 1])
            return rows[:size][::-1], len(rows) > size
        if before:
            found = found.filter(pk__lt=before)
        rows = list(found[: size + 1])
        return rows[:size], len(rows) > size

    def _place(self, request: HttpRequest, name: str) -> UUID | None:
        text = request.GET.get(name)
        try:
            return UUID(text) if text else None
        except ValueError:
            raise IncorrectLookupParameters from None

    def _address(self, name: str, row: Any) -> str:
        return self.get_query_string({name: str(row.pk)})
