"""
No page before the second factor: who has shown a password only gets to where they enrol one.

A session says by which methods somebody came. Only logging in and enrolling write that.
"""

from collections.abc import Callable
from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from rest_framework.exceptions import PermissionDenied

from hospital import api

METHODS: Final = "methods"
PASSWORD: Final = "password"  # noqa: S105 (the name of a method)
# Where somebody gets to with a password alone. Static files are answered before this.
DOORS: Final = frozenset(
    {
        "login",
        "account:enrol",
        "account:totp",
        "account:key",
        "admin:logout",
        "own-password",
    }
)


def methods_of(request: HttpRequest) -> list[str]:
    """Return how who is logged in here came: "password", and the second factors since."""
    return list(request.session.get(METHODS, []))


def note(session: SessionBase, method: str) -> None:
    """Remember that somebody has shown this."""
    session[METHODS] = [*session.get(METHODS, []), method]


def is_passed(session: SessionBase) -> bool:
    """Whether who is logged in has shown more than a password."""
    return bool({*session.get(METHODS, [])} - {PASSWORD})


class BeforeAnyPage:
    """Middleware: refuse every page that is not in `DOORS` to a session that is half logged in."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, _view: object, _args: Any, _kwargs: Any
    ) -> HttpResponse | None:
        if not request.user.is_authenticated or is_passed(request.session):
            return None
        match = request.resolver_match
        if match and match.view_name in DOORS:
            return None
        if request.path.startswith("/api/"):
            return _forbidden()
        return redirect("account:enrol")


def _forbidden() -> HttpResponse:
    answer = api.problem(PermissionDenied("请先绑定第二步验证方式", "second_factor"), {})
    assert answer is not None  # noqa: S101 (it is for exceptions like this one)
    return JsonResponse(answer.data, status=answer.status_code, content_type=api.PROBLEM_JSON)
