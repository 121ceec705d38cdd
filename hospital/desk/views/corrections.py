"""更正: somebody asks, a colleague or the privacy officer decides."""

from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from hospital.accounts.models import Staff, staff_of
from hospital.admin import refusals_told
from hospital.audit.admin import people
from hospital.audit.facts import Shown
from hospital.desk.doors import fresh, needs
from hospital.desk.forms import CHECK, CorrectForm, Evidence
from hospital.errors import Refusal
from hospital.labels import NotCleared
from hospital.patients import correcting, enrolment, viewing
from hospital.patients.models import Correction, Likeness, Patient
from hospital.roles import May

SHOWN: Final = 100  # nobody reads further before some of it is done


@needs(May.ASK_CORRECTIONS)
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("number", "name", "born", "reason")
@fresh
def correct(request: HttpRequest, pk: UUID) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    correcting.demand_cleared(staff)
    patient = get_object_or_404(Patient.objects.seen_by(staff), pk=pk)
    today = timezone.localdate(now)
    if request.method != "POST":
        form = CorrectForm(initial={"kind": patient.document_type}, today=today)
        return _page(request, patient, form)
    form = CorrectForm(request.POST, today=today)
    is_valid = form.is_valid()
    if CHECK in request.headers:
        return JsonResponse(form.checked())
    if not is_valid or form.person is None:
        return _page(request, patient, form)
    try:
        asked = correcting.ask(
            patient,
            form.person,
            evidence=Evidence(form.cleaned_data["evidence"]),
            reason=form.cleaned_data["reason"],
            by=staff,
            at=now,
            today=today,
        )
    except Refusal as exc:
        form.add_error(None, str(exc))
        return _page(request, patient, form)
    if isinstance(asked, Likeness):
        messages.warning(request, "这个人已有另一份档案，没有申请更正；请核对是否同一人")
        return redirect("desk:likeness", asked.pk)
    messages.success(request, "已申请更正，请另一位同事复核")
    return redirect("desk:correction", asked.pk)


@needs(May.DECIDE_CORRECTIONS)
@require_http_methods(["GET", "HEAD"])
def corrections(request: HttpRequest) -> HttpResponse:
    staff = staff_of(request)
    waiting = correcting.seen_by(staff).filter(state=Correction.State.ASKED)
    rows = list(waiting.order_by("id")[:SHOWN])
    names = people.names(one.asked_by for one in rows)
    return TemplateResponse(
        request,
        "desk/corrections.html",
        {
            **admin.site.each_context(request),
            "title": "待复核的更正",
            "rows": [(one, names.get(str(one.asked_by), "")) for one in rows],
            "staff": staff,
        },
    )


@needs(May.DECIDE_CORRECTIONS)
@require_http_methods(["GET", "HEAD", "POST"])
@fresh
def correction(request: HttpRequest, pk: UUID) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    one = get_object_or_404(correcting.seen_by(staff), pk=pk)
    if request.method == "POST":
        with refusals_told(request):
            messages.success(request, _decided(request, one))
        return redirect("desk:correction", pk)
    is_open = one.state == Correction.State.ASKED
    is_others = is_open and one.asked_by != staff.pk
    changes = _changes(one) if is_open else []
    shown = {*viewing.MASKED, Shown.BIRTH_DATE_HIDDEN, Shown.CORRECTIONS}
    viewing.looked([one.patient], shown=shown, by=staff, at=now)
    names = people.names([one.asked_by, one.decided_by])
    return TemplateResponse(
        request,
        "desk/correction.html",
        {
            **admin.site.each_context(request),
            "title": "更正申请",
            "correction": one,
            "shown": viewing.masked(one.patient),
            "changes": changes,
            "is_open": is_open,
            "asked_by": names.get(str(one.asked_by), ""),
            "decided_by": names.get(str(one.decided_by), ""),
            "may_decide": is_others and _is_cleared(staff),
            "may_withdraw": is_open and one.asked_by == staff.pk,
        },
    )


def _page(request: HttpRequest, patient: Patient, form: CorrectForm) -> HttpResponse:
    viewing.looked([patient], shown=viewing.MASKED, by=staff_of(request), at=timezone.now())
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "申请更正",
        "form": form,
        "shown": viewing.masked(patient),
    }
    return TemplateResponse(request, "desk/correct.html", context)


def _changes(one: Correction) -> list[correcting.Change]:
    """Return what is to change; nothing where that cannot be read, and can only be refused."""
    try:
        return correcting.changes(one)
    except enrolment.Unreadable:
        return []


def _is_cleared(staff: Staff) -> bool:
    try:
        correcting.demand_cleared(staff)
    except NotCleared:
        return False
    return True


def _decided(request: HttpRequest, one: Correction) -> str:
    by, at = staff_of(request), timezone.now()
    match request.POST.get("decision"):
        case "approve":
            correcting.approve(one, by=by, at=at)
            return "已更正"
        case "withdraw":
            correcting.withdraw(one, by=by, at=at)
            return "已撤回，填写的内容已清除"
        case "refuse":
            correcting.refuse(one, by=by, at=at)
            return "不予更正，填写的内容已清除"
    raise BadRequest


urls: list[URLPattern] = [
    path("patients/<uuid:pk>/correct/", correct, name="correct"),
    path("corrections/", corrections, name="corrections"),
    path("corrections/<uuid:pk>/", correction, name="correction"),
]
