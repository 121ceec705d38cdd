"""The desk's pages: each names the right it needs, and nobody else gets to its first line."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib import admin
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from hospital.admin import demand
from hospital.roles import May

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def needs(right: May) -> Callable[[View[P]], View[P]]:
    """Let a view answer only who is logged in and holds `right`; to others it does not exist."""

    def guard(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            demand(request, right)
            return view(request, *args, **kwargs)

        opened: View[P] = admin.site.admin_view(guarded)  # type: ignore[assignment]
        opened.needs = right  # type: ignore[attr-defined] # what the matrix of roles reads
        return opened

    return guard
