"""The desk's pages: each names the right it needs, and nobody else gets to its first line."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from hospital import roles, stepup
from hospital.roles import May

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def needs(*rights: May) -> Callable[[View[P]], View[P]]:
    """Let a view answer only who is logged in and holds one of `rights`."""

    def guard(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not any(roles.may(request.user, right) for right in rights):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        opened: View[P] = admin.site.admin_view(guarded)  # type: ignore[assignment]
        opened.needs = rights  # type: ignore[attr-defined] # what the matrix of roles reads
        return opened

    return guard


def fresh(view: View[P]) -> View[P]:
    """Let a page answer only who has shown a moment ago that it is them."""

    @stepup.fresh
    def guarded(
        _page: None, request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        return view(request, *args, **kwargs)

    @wraps(view)
    def opened(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        return guarded(None, request, *args, **kwargs)

    return opened
