"""What every page of staff's shares: idleness, doors that did not open, acts that were undone."""

from collections.abc import Callable
from contextlib import suppress

from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import PermissionDenied
from django.db import Error, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from hospital import api
from hospital.accounts.models import Staff
from hospital.audit import flood, undone
from hospital.audit.actions import Action
from hospital.audit.recording import UNKNOWN, record
from hospital.errors import TrailUnavailable, Unavailable

FAILED = 400  # the status from which on an answer says that something was not done

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
    """
    A member of staff who tries a door that is not theirs is on record, and so is what was undone.

    Where that, or anything else, cannot be recorded, nobody gets in at all.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with undone.watched() as acts:
            response = self.get_response(request)
        if acts and response.status_code >= FAILED:
            _record_abort(request, response, acts)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        try:
            if isinstance(exception, PermissionDenied) and isinstance(request.user, Staff):
                _record_denial(request, request.user)
        except TrailUnavailable as exc:
            exception = exc
        return _unavailable(request, exception) if isinstance(exception, Unavailable) else None


def _record_denial(request: HttpRequest, staff: Staff) -> None:
    missed = flood.admit(f"shut:{staff.pk}")
    if missed is None:
        return
    with transaction.atomic():
        record(
            Action.ACCESS_DENIED,
            by=staff,
            on=None,
            at=timezone.now(),
            outcome="denied",
            route=_route(request),
            suppressed=missed,
        )


def _record_abort(request: HttpRequest, response: HttpResponse, acts: list[str]) -> None:
    """Record what was recorded and then rolled back, now that nothing can roll this back."""
    actor = getattr(getattr(request, "user", None), "actor", UNKNOWN)
    missed = flood.admit(f"abort:{actor.id}:{_route(request)}")
    if missed is None:
        return
    # If not even that can be recorded: the answer says already that nothing was done.
    with suppress(TrailUnavailable, Error), transaction.atomic():
        record(
            Action.REQUEST_ABORT,
            by=actor,
            on=None,
            at=timezone.now(),
            outcome="failed",
            route=_route(request),
            code=_code(response),
            actions=set(acts),
            suppressed=missed,
        )


def _code(response: HttpResponse) -> str:
    said = getattr(response, "data", None)
    code = said.get("code") if isinstance(said, dict) else None
    return str(code or response.status_code)


def _unavailable(request: HttpRequest, exception: Unavailable) -> HttpResponse:
    if request.path.startswith("/api/"):
        return api.unavailable(exception)
    return render(request, "503.html", {"message": exception.message}, status=503)


def _route(request: HttpRequest) -> str:
    match = request.resolver_match
    return match.view_name if match else ""
