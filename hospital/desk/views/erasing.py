"""删除个人信息: what would go and what would stay, and asking for it; somebody else decides."""

from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from hospital import policy
from hospital.accounts.models import staff_of
from hospital.admin import refusals_told
from hospital.audit.facts import Shown
from hospital.desk.doors import fresh, needs
from hospital.patients import viewing
from hospital.patients.models import Patient
from hospital.privacy import holding
from hospital.privacy.erasing import asking, deciding, planning
from hospital.privacy.models import RightsRequest
from hospital.roles import May


class WhyForm(forms.Form):
    note = forms.CharField(
        label="理由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；写进留痕，不要写患者信息",
    )


@needs(May.ASK_ERASURE)
@require_http_methods(["GET", "HEAD", "POST"])
@fresh
def erase(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show the plan, and ask: for the patient's own request, if there is one."""
    staff, now = staff_of(request), timezone.now()
    patient = get_object_or_404(Patient.objects.seen_by(staff), pk=pk)
    wanted = RightsRequest.objects.filter(
        patient=pk, kind=RightsRequest.Kind.DELETE, state=RightsRequest.State.VERIFIED
    ).first()
    form = WhyForm(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        asked, request_id = None, wanted.pk if wanted else None
        with refusals_told(request):
            note = form.cleaned_data["note"]
            asked = asking.ask(patient, request_id, reason=note, by=staff, at=now)
            messages.success(request, "申请已提交，请个保负责人批准")
        done = ("admin:audit_proposal_change", asked.pk) if asked else ("desk:erase", pk)
        return redirect(*done)
    along = Patient.objects.filter(pk__in=asking.to_go_along(pk)).order_by("number")
    shown = {*viewing.NAMED, Shown.DATA_COUNTS}
    viewing.looked([patient], shown=shown, by=staff, at=now)
    return TemplateResponse(
        request,
        "desk/erase.html",
        {
            **admin.site.each_context(request),
            "title": "申请删除个人信息",
            "shown": viewing.masked(patient),
            "plan": [part for part in planning.plan(pk, *(one.pk for one in along)) if part.count],
            "along": [one.number for one in along],
            "form": form,
            "wanted": wanted,
            "decided": deciding.standing(pk),
            "is_held": holding.standing(at=now).filter(patient=pk).exists(),
            "hours": policy.value(asking.COOLING),
        },
    )


urls: list[URLPattern] = [
    path("patients/<uuid:pk>/erase/", erase, name="erase"),
]
