"""权利请求 at the desk: what waits, one request with its clock, and the one thing to do next."""

from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from hospital.accounts.models import staff_of
from hospital.admin import refusals_told
from hospital.audit.admin import people
from hospital.audit.facts import Shown
from hospital.desk import petitions
from hospital.desk.doors import needs
from hospital.errors import Refusal
from hospital.patients import viewing
from hospital.patients.models import Identification, Patient
from hospital.privacy import answering, rights
from hospital.privacy.models import RightsRequest
from hospital.roles import May

SHOWN: Final = 100  # of those that are open; nobody reads further before some of them are done
ENDED: Final = 20  # of those that are not


class Opening(forms.Form):
    """Who asks for what."""

    kind = forms.ChoiceField(label="事项", choices=[("", "请选择"), *RightsRequest.Kind.choices])
    applicant = forms.ChoiceField(label="申请人", choices=RightsRequest.Applicant.choices)


class Refusing(forms.Form):
    """Why not: both are told to the applicant."""

    reason = forms.ChoiceField(
        label="理由",
        choices=[("", "请选择"), *RightsRequest.Refused.choices],
        required=False,
    )
    note = forms.CharField(
        label="说明",
        max_length=200,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；告知申请人，请勿写姓名或证件号码",
    )


@needs(May.OPEN_RIGHTS, May.DECIDE_RIGHTS)
@require_http_methods(["GET", "HEAD"])
def listed(request: HttpRequest) -> HttpResponse:
    staff, today = staff_of(request), timezone.localdate()
    ended = rights.seen_by(staff).exclude(state__in=RightsRequest.OPEN).order_by("-id")
    waiting, over = list(rights.waiting(staff)[:SHOWN]), list(ended[:ENDED])
    numbers = petitions.numbers([*waiting, *over])
    context = {
        **admin.site.each_context(request),
        "title": "权利请求",
        "waiting": [petitions.line(one, staff, numbers, today=today) for one in waiting],
        "ended": [petitions.line(one, staff, numbers, today=today) for one in over],
    }
    return TemplateResponse(request, "desk/rights.html", context)


@needs(May.OPEN_RIGHTS)
@require_http_methods(["GET", "HEAD", "POST"])
def opening(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take a request of one patient."""
    staff, now = staff_of(request), timezone.now()
    patient = get_object_or_404(Patient.objects.seen_by(staff), pk=pk)
    form = Opening(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        try:
            opened = rights.open_request(
                patient,
                RightsRequest.Kind(form.cleaned_data["kind"]),
                applicant=RightsRequest.Applicant(form.cleaned_data["applicant"]),
                by=staff,
                at=now,
            )
        except Refusal as exc:
            form.add_error(None, str(exc))
        else:
            messages.success(request, f"已受理，请在 {opened.due_on:%Y-%m-%d} 前办结")
            return redirect("desk:right", opened.pk)
    viewing.looked([patient], shown={*viewing.NAMED, Shown.RIGHTS}, by=staff, at=now)
    context = {
        **admin.site.each_context(request),
        "title": "受理权利请求",
        "form": form,
        "shown": viewing.masked(patient),
        "before": rights.seen_by(staff).filter(patient=patient.pk)[:ENDED],
    }
    return TemplateResponse(request, "desk/rights_open.html", context)


@needs(May.OPEN_RIGHTS, May.DECIDE_RIGHTS)
@require_http_methods(["GET", "HEAD"])
def one(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _page(request, pk, Refusing(label_suffix=""))


@needs(May.OPEN_RIGHTS)
@require_POST
def verify(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = get_object_or_404(rights.seen_by(staff_of(request)), pk=pk)
    evidence = request.POST.get("evidence", "")
    if evidence not in Identification.Evidence:
        raise BadRequest
    with refusals_told(request):
        rights.verify(
            found,
            evidence=Identification.Evidence(evidence),
            ground_shown="ground_shown" in request.POST,
            by=staff_of(request),
            at=timezone.now(),
        )
        messages.success(request, "已核验申请人身份")
    return redirect("desk:right", pk)


@needs(May.OPEN_RIGHTS)
@require_POST
def withdraw(request: HttpRequest, pk: UUID) -> HttpResponse:
    found = get_object_or_404(rights.seen_by(staff_of(request)), pk=pk)
    with refusals_told(request):
        rights.withdraw(found, by=staff_of(request), at=timezone.now())
        messages.success(request, "申请人已撤回")
    return redirect("desk:right", pk)


@needs(May.DECIDE_RIGHTS)
@require_POST
def answer(request: HttpRequest, pk: UUID) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    found = get_object_or_404(rights.seen_by(staff), pk=pk)
    match request.POST.get("decision"):
        case "grant":
            with refusals_told(request):
                answering.grant(found, by=staff, at=now)
                messages.success(request, "已答复")
            return redirect("desk:right", pk)
        case "refuse":
            return _refused(request, found)
    raise BadRequest


def _refused(request: HttpRequest, found: RightsRequest) -> HttpResponse:
    form = Refusing(request.POST, label_suffix="")
    if not form.is_valid():
        return _page(request, found.pk, form)
    reason = form.cleaned_data["reason"]
    try:
        answering.refuse(
            found,
            reason=RightsRequest.Refused(reason) if reason else None,
            note=form.cleaned_data["note"],
            by=staff_of(request),
            at=timezone.now(),
        )
    except Refusal as exc:
        form.add_error(None, str(exc))
        return _page(request, found.pk, form)
    messages.success(request, "不予办理，请登记员把理由告知申请人")
    return redirect("desk:right", found.pk)


def _page(request: HttpRequest, pk: UUID, form: Refusing) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    found = get_object_or_404(rights.seen_by(staff), pk=pk)
    patient = Patient.objects.filter(pk=found.patient).first()
    if patient:
        viewing.looked([patient], shown={*viewing.NAMED, Shown.RIGHTS}, by=staff, at=now)
    suggested = answering.suggested(found, at=now)
    if not form.is_bound and suggested:
        form.initial["reason"] = suggested
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"权利请求：{found.get_kind_display()}",
        "one": found,
        "shown": viewing.masked(patient) if patient else None,
        "names": _people(found),
        "left": petitions.left(found, today=timezone.localdate(now)),
        "steps": petitions.steps(found),
        "next": petitions.next_step(found, staff, at=now),
        "held": petitions.held(found),
        "form": form,
        "suggested": suggested,
        "evidence": sorted(
            (one.value, one.label) for one in rights.PROVES[rights.Applicant(found.applicant)]
        ),
        "needs_ground": found.applicant in rights.NEEDS_GROUND,
        "may_withdraw": found.is_open and staff.may(May.OPEN_RIGHTS),
        "may_refuse": found.is_open and staff.may(May.DECIDE_RIGHTS),
    }
    return TemplateResponse(request, "desk/right.html", context)


def _people(found: RightsRequest) -> dict[str, str]:
    names = people.names([found.opened_by, found.verified_by, found.answered_by])
    return {
        "opened": names.get(str(found.opened_by), ""),
        "verified": names.get(str(found.verified_by), ""),
        "answered": names.get(str(found.answered_by), ""),
    }


urls: list[URLPattern] = [
    path("rights/", listed, name="rights"),
    path("patients/<uuid:pk>/rights/", opening, name="rights-open"),
    path("rights/<uuid:pk>/", one, name="right"),
    path("rights/<uuid:pk>/verify/", verify, name="right-verify"),
    path("rights/<uuid:pk>/withdraw/", withdraw, name="right-withdraw"),
    path("rights/<uuid:pk>/answer/", answer, name="right-answer"),
]
