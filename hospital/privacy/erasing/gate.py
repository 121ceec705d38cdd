"""Nobody is served from a backup before those forgotten since are forgotten again."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from hospital import api
from hospital.privacy.erasing import standing

# What tells of the process, and says nothing of a person.
OPEN: Final = ("/healthz", "/readyz", "/metrics", "/static/")


class UnreplayedGate:
    """
    Middleware: 503 while this database is a backup's. Looked at anew every few seconds.

    A process does not start on such a database; this is for one that ran while it was restored.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.startswith(OPEN) or (refusal := standing.refusal()) is None:
            return self.get_response(request)
        if request.path_info.startswith("/api/"):
            return api.unavailable(refusal)
        return render(request, "503.html", {"message": str(refusal)}, status=503)
