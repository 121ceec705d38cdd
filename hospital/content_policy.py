"""The `Content-Security-Policy` header: the same for every answer, so built once in a process."""

from collections.abc import Callable

from csp.constants import HEADER
from csp.utils import build_policy
from django.http import HttpRequest, HttpResponse


class ContentPolicy:
    """
    What django-csp's own middleware sends for settings that hold for every page.

    That one builds the header anew for each answer, twice, in case a view has asked for
    another. No view of ours may.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        response.headers.setdefault(HEADER, self.policy)
        return response
