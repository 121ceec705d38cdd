"""个人信息副本 at the desk: made while the applicant waits, its password shown once."""

from datetime import datetime
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from hospital.accounts.models import staff_of
from hospital.desk.doors import fresh, needs
from hospital.errors import Refusal
from hospital.privacy import copying, rights
from hospital.privacy.models import RightsRequest
from hospital.roles import May


@needs(May.OPEN_RIGHTS)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@fresh
def copy(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Make one, and show its password in this very answer: a message would keep it in a cookie."""
    staff, now = staff_of(request), timezone.now()
    found = get_object_or_404(rights.seen_by(staff), pk=pk, kind=RightsRequest.Kind.COPY)
    if request.method != "POST":
        return _page(request, found, at=now)
    try:
        password = copying.make(found, by=staff, at=now)
    except Refusal as exc:
        messages.error(request, str(exc))
        return redirect("desk:right", pk)
    return _page(request, found, at=now, password=password)


@needs(May.OPEN_RIGHTS)
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@fresh
def fetch(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Hand the file out."""
    staff = staff_of(request)
    found = get_object_or_404(rights.seen_by(staff), pk=pk, kind=RightsRequest.Kind.COPY)
    if request.method != "POST":  # back from the page that asked who is there
        return redirect("desk:right-copy", pk)
    try:
        content = copying.fetch(found, by=staff, at=timezone.now())
    except Refusal as exc:
        messages.error(request, str(exc))
        return redirect("desk:right", pk)
    response = HttpResponse(content, content_type="application/zip")
    response["Content-Disposition"] = f'attachment; filename="copy-{found.pk}.zip"'
    response["Cache-Control"] = "no-store"
    return response


def _page(
    request: HttpRequest, found: RightsRequest, *, at: datetime, password: str = ""
) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "个人信息副本",
        "one": found,
        "password": password,
        "is_there": found.copy_until is not None and found.copy_until > at,
        "may_make": found.is_agreed,
    }
    return TemplateResponse(request, "desk/rights_copy.html", context)


urls: list[URLPattern] = [
    path("rights/<uuid:pk>/copy/", copy, name="right-copy"),
    path("rights/<uuid:pk>/copy/fetch/", fetch, name="right-fetch"),
]
