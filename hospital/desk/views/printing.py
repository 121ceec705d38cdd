"""Paper for patients: a slip with their number, and pages to try a printer with."""

from uuid import UUID

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_GET

from hospital.accounts.models import staff_of
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.desk import slips
from hospital.desk.doors import needs
from hospital.desk.slips import NothingToPrint, Paper
from hospital.patients.models import Patient
from hospital.roles import May

CONFLICT = 409


@needs(May.REGISTER_PATIENTS)
@require_GET
def slip(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The page prints itself; who opened it is on record before as having printed."""
    staff, now = staff_of(request), timezone.now()
    patient = get_object_or_404(Patient.objects.seen_by(staff), pk=pk)
    paper = _paper(request)
    try:
        made = slips.make(patient, campus=staff.campus, at=now)
    except NothingToPrint as exc:
        return _refused(request, patient, exc)
    with transaction.atomic():
        record(Action.PATIENT_PRINT, by=staff, on=patient, at=now, format=paper.value)
    context = {
        **admin.site.each_context(request),
        "title": "患者凭条",
        "slip": made,
        "patient": patient.pk,
        "paper": paper,
        "papers": Paper,
    }
    return TemplateResponse(request, "desk/slip.html", context)


@needs(May.REGISTER_PATIENTS)
@require_GET
def test_page(request: HttpRequest) -> HttpResponse:
    paper = _paper(request)
    context = {
        **admin.site.each_context(request),
        "title": "打印测试页",
        "slip": slips.specimen(at=timezone.now()),
        "marks": list(slips.ruler(paper)),
        "paper": paper,
        "papers": Paper,
    }
    return TemplateResponse(request, "desk/test_page.html", context)


def _refused(request: HttpRequest, patient: Patient, why: NothingToPrint) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "title": "患者凭条",
        "number": patient.number,
        "patient": patient.pk,
        "why": why,
    }
    return TemplateResponse(request, "desk/no_slip.html", context, status=CONFLICT)


def _paper(request: HttpRequest) -> Paper:
    wanted = request.GET.get("paper", "")
    return Paper(wanted) if wanted in Paper.values else Paper.RECEIPT


urls: list[URLPattern] = [
    path("patients/<uuid:pk>/slip/", slip, name="slip"),
    path("print/test/", test_page, name="test-page"),
]
