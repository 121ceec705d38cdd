"""What every page of staff's shares: how a login ends, doors that did not open, acts undone."""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control

from hospital import api
from hospital.accounts import passwords, sessions
from hospital.accounts.models import Staff
from hospital.audit import aborting, flood, undone
from hospital.audit.actions import Action
from hospital.audit.recording import UNKNOWN, record
from hospital.errors import TrailUnavailable, Unavailable

FAILED = 400  # the status from which on an answer says that something was not done

REFRESH = "X-Desk-Refresh"  # sent by templates/assets/desk.js


def by_itself(request: HttpRequest) -> bool:
    """Whether nobody clicked: a page asks for itself again, or for the words of its scripts."""
    return REFRESH in request.headers or request.path_info == reverse("admin:jsi18n")


class IdleSession(SessionMiddleware):
    """A page that refreshes itself does not keep its session alive; nor does an old one end it."""

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        session = request.session
        if by_itself(request) and not session.modified and not session.is_empty():
            return response
        if session.is_empty() and not session.modified:
            # Unknown by now: the page was sent twice, and the first answer set a newer cookie.
            return response
        return super().process_response(request, response)


class LiveSession:
    """
    A login that is over is over with the next request, whatever its cookie says.

    No page of staff's is kept by a browser or a proxy: who comes after them sees nothing.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.staffs = reverse("admin:index")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            if settings.SESSION_COOKIE_NAME in request.COOKIES:
                _end_if_over(request)
        except TrailUnavailable as exc:  # nobody gets in on a login that is over
            return _unavailable(request, exc)
        response = self.get_response(request)
        if request.path_info.startswith(self.staffs):
            patch_cache_control(response, no_store=True, private=True)
        return response


class DuePassword:
    """Whoever has to change their password gets to nothing else first."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.staffs, self.change = reverse("admin:index"), reverse("own-password")
        self.doors = {self.change, reverse("admin:logout"), reverse("admin:jsi18n")}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        is_staffs = request.path_info.startswith(self.staffs)
        if not is_staffs or request.path_info in self.doors:
            return self.get_response(request)
        person = request.user
        if isinstance(person, Staff) and passwords.is_due(person, at=timezone.now()):
            return redirect(self.change)
        return self.get_response(request)


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
            actor = getattr(getattr(request, "user", None), "actor", UNKNOWN)
            aborting.note(acts, by=actor, route=_route(request), code=_code(response))
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        try:
            if isinstance(exception, PermissionDenied) and isinstance(request.user, Staff):
                _record_denial(request, request.user)
        except TrailUnavailable as exc:
            exception = exc
        return _unavailable(request, exception) if isinstance(exception, Unavailable) else None


def _end_if_over(request: HttpRequest) -> None:
    person, now = request.user, timezone.now()
    if not isinstance(person, Staff):
        # Stopped, ended, or replaced by a newer login: nothing of it stays.
        if SESSION_KEY in request.session:
            request.session.flush()
        return
    if why := sessions.is_over(request.session, at=now):
        sessions.end(person, request.session, why, at=now)
        request.user = AnonymousUser()
    elif not by_itself(request):
        sessions.touch(request.session, at=now)


def _record_denial(request: HttpRequest, staff: Staff) -> None:
    missed = flood.admit(f"shut:{staff.pk}", Action.ACCESS_DENIED, by=staff)
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
