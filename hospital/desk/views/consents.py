"""同意记录: what a patient agreed to, taking it back, and who agrees for a child."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from faceauth import guardianship, withdrawal
from faceauth.models import Notice
from hospital.accounts.models import Staff, staff_of
from hospital.audit.actions import Action
from hospital.audit.facts import Shown
from hospital.audit.recording import record_alone
from hospital.desk import consenting
from hospital.desk.doors import fresh, needs
from hospital.desk.forms import Evidence
from hospital.desk.guardian_form import GuardianForm
from hospital.errors import Refusal
from hospital.patients import guardians, viewing
from hospital.patients.models import Guardian, Patient
from hospital.roles import May


@needs(May.HANDLE_CONSENTS, May.VIEW_CONSENTS)
@require_http_methods(["GET", "HEAD", "POST"])
def consents(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    staff, now = staff_of(request), timezone.now()
    patient = get_object_or_404(Patient.objects.seen_by(staff), pk=pk)
    if request.method == "POST":
        if not staff.may(May.HANDLE_CONSENTS):
            raise PermissionDenied
        return _withdrawn(request, patient)
    said = consenting.of(patient, seen_by=staff)
    record_alone(
        Action.CONSENT_VIEW,
        by=staff,
        on=patient,
        at=now,
        count=len(said),
        subjects={patient.pk},
        shown=[Shown.CONSENTS, Shown.GUARDIAN_RELATION],
    )
    may_handle = staff.may(May.HANDLE_CONSENTS)
    context = {
        "said": said,
        "is_whole": len(said) < consenting.SHOWN,
        "may_withdraw": may_handle and consenting.stands(patient),
        "may_guard": may_handle and guardians.is_child(patient, at=now),
    }
    return _page(request, "consents", "同意记录", patient, staff, **context)


@fresh
def _withdrawn(request: HttpRequest, patient: Patient) -> HttpResponse:
    withdrawal.withdraw(patient, by=staff_of(request), at=timezone.now())
    messages.success(request, "已撤回同意，微信账号关联已删除；档案按依法登记的部分保留")
    return redirect("desk:consents", patient.pk)


@needs(May.HANDLE_CONSENTS)
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("number", "name", "born")
def guardian(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A guardian agrees for a child."""
    staff, now = staff_of(request), timezone.now()
    child = get_object_or_404(Patient.objects.seen_by(staff), pk=pk)
    notice = Notice.objects.in_force(now)
    if notice is None or not guardians.is_child(child, at=now):
        messages.warning(request, "没有生效的告知书，或患者不需要监护人同意")
        return redirect("desk:patient", child.pk)
    form = GuardianForm(request.POST or None, today=timezone.localdate(now), notice=notice)
    if request.method == "POST" and form.is_valid() and form.person is not None:
        given = form.cleaned_data
        try:
            guardianship.agree_for_child(
                child,
                form.person,
                relation=Guardian.Relation(given["relation"]),
                evidence=Evidence(given["evidence"]),
                purposes=given["purposes"],
                by=staff,
                at=now,
            )
        except Refusal as exc:
            form.add_error(None, str(exc))
        else:
            messages.success(request, "监护人同意已登记")
            return redirect("desk:consents", child.pk)
    return _page(request, "guardian", "监护人同意", child, staff, form=form, notice=notice)


def _page(
    request: HttpRequest, name: str, title: str, patient: Patient, staff: Staff, **context: Any
) -> HttpResponse:
    viewing.looked([patient], shown=viewing.NAMED, by=staff, at=timezone.now())
    shown = {**admin.site.each_context(request), "title": title, **context}
    shown["shown"] = viewing.masked(patient)
    return TemplateResponse(request, f"desk/{name}.html", shown)


urls: list[URLPattern] = [
    path("patients/<uuid:pk>/consents/", consents, name="consents"),
    path("patients/<uuid:pk>/guardian/", guardian, name="guardian"),
]
