"""One box that finds a patient. By POST only: nothing that was typed gets into an address."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from hospital.accounts.models import Staff, staff_of
from hospital.desk.doors import needs
from hospital.patients import asked, finding, viewing
from hospital.patients.asked import Unclear
from hospital.patients.finding import TooOften
from hospital.patients.models import Patient
from hospital.patients.viewing import Masked
from hospital.roles import May

TOO_MANY_REQUESTS = 429


@dataclass(frozen=True)
class Hit:
    """One patient as the list of results shows them."""

    shown: Masked
    since: datetime  # known at this campus
    identified: str


@needs(May.SEARCH_PATIENTS)
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("typed")
@sensitive_variables("typed", "question")
def find(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request)
    typed, now = request.POST.get("typed", ""), timezone.now()
    try:
        question = asked.read(typed, today=timezone.localdate(now))
        found = finding.find(question, by=staff_of(request), at=now)
    except Unclear as exc:
        return _page(request, typed=typed, refusal=exc)
    except TooOften as exc:
        return _page(request, typed=typed, refusal=exc, status=TOO_MANY_REQUESTS)
    # Where it answers the question, what was typed does not come back.
    kept = "" if found.patients else typed
    hits = [_hit(patient, staff_of(request)) for patient in found.patients]
    return _page(request, question=question, found=found, hits=hits, typed=kept)


def _page(request: HttpRequest, *, status: int = 200, **shown: Any) -> HttpResponse:
    staff = staff_of(request)
    context = {
        **admin.site.each_context(request),
        "title": "查找患者",
        "may_register": staff.may(May.REGISTER_PATIENTS),
        "most": finding.SHOWN,
        **shown,
    }
    return TemplateResponse(request, "desk/find.html", context, status=status)


def _hit(patient: Patient, staff: Staff) -> Hit:
    since = next(one.since for one in patient.attendances.all() if one.campus == staff.campus)
    newest = max(patient.identifications.all(), key=lambda one: one.at, default=None)
    return Hit(
        shown=viewing.masked(patient),
        since=since,
        identified=newest.get_method_display() if newest else "",
    )


urls: list[URLPattern] = [path("find/", find, name="find")]
