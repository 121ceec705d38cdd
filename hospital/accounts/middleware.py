"""What every page of staff's shares: idleness, and doors that did not open."""

from collections.abc import Callable

from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from hospital.accounts.models import Staff
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.recording import record

REFRESH = "X-Desk-Refresh"  # sent by templates/assets/desk.js


def by_itself(request: HttpRequest) -> bool:
    """Whether a page asked for itself again, with nobody clicking."""
    return REFRESH in request.headers


class IdleSession(SessionMiddleware):
    """A page that refreshes itself does not keep its session alive."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if by_itself(request) and not request.session.modified and not request.session.is_empty():
            return response
        return super().process_response(request, response)


class ShutDoors:
    """A member of staff who tries a door that is not theirs is on record."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        if not isinstance(exception, PermissionDenied) or not isinstance(request.user, Staff):
            return
        missed = flood.admit(f"shut:{request.user.pk}")
        if missed is None:
            return
        match = request.resolver_match
        with transaction.atomic():
            record(
                Action.ACCESS_DENIED,
                by=request.user,
                on=None,
                at=timezone.now(),
                outcome="denied",
                route=match.view_name if match else "",
                suppressed=missed,
            )
