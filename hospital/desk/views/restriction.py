"""限制处理: the privacy officer stops work with one record, and lets it go on."""

from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from hospital.accounts.models import staff_of
from hospital.admin import refusals_told
from hospital.audit.facts import Shown
from hospital.desk.doors import fresh, needs
from hospital.patients import viewing
from hospital.patients.models import Patient
from hospital.privacy import restricting
from hospital.roles import May


class WhyForm(forms.Form):
    code = forms.ChoiceField(label="事由", widget=forms.RadioSelect)

    def __init__(self, *args: object, is_restricted: bool, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # Django's own
        offered = restricting.TO_RELEASE if is_restricted else restricting.TO_RESTRICT
        self.fields["code"].choices = [  # type: ignore[attr-defined]
            (one.value, one.label) for one in offered
        ]


@needs(May.RESTRICT_PATIENTS)
@require_http_methods(["GET", "HEAD", "POST"])
@fresh
def restriction(request: HttpRequest, pk: UUID) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    patient = get_object_or_404(Patient.objects.seen_by(staff), pk=pk)
    is_restricted = patient.restricted_at is not None
    form = WhyForm(request.POST or None, is_restricted=is_restricted, label_suffix="")
    if request.method == "POST" and form.is_valid():
        act = restricting.release if is_restricted else restricting.restrict
        with refusals_told(request):
            act(patient, code=form.cleaned_data["code"], by=staff, at=now)
            messages.success(request, "已解除限制处理" if is_restricted else "已限制处理")
        return redirect("desk:restriction", pk)
    shown = {Shown.NUMBER, Shown.RESTRICTION}
    viewing.looked([patient], shown=shown, by=staff, at=now)
    return TemplateResponse(
        request,
        "desk/restriction.html",
        {
            **admin.site.each_context(request),
            "title": "限制处理",
            "shown": viewing.masked(patient),
            "patient": patient,
            "form": form,
        },
    )


urls: list[URLPattern] = [
    path("patients/<uuid:pk>/restriction/", restriction, name="restriction"),
]
