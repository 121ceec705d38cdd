"""One patient, masked; and one field of theirs in clear, to who may and says why."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from faceauth.models import FaceSession
from hospital import policy, stepup
from hospital.accounts.models import Staff, staff_of
from hospital.api import PROBLEM_JSON
from hospital.audit.facts import Shown
from hospital.desk import histories, standings
from hospital.desk.doors import needs
from hospital.errors import Refusal
from hospital.patients import revealing, viewing
from hospital.patients.models import Correction, Likeness, Patient
from hospital.patients.revealing import Field, Purpose, QuotaSpent, StepUpNeeded
from hospital.privacy import rights
from hospital.privacy.models import RightsRequest
from hospital.roles import May

SHOWN = viewing.MASKED | {
    Shown.BIRTH_DATE_HIDDEN,
    Shown.CORRECTIONS,
    Shown.HIS_NUMBER,
    Shown.HISTORY,
    Shown.LIKENESSES,
    Shown.RESTRICTION,
    Shown.RIGHTS,
    Shown.VISITS,
    Shown.WECHAT_LINKED,
}
VISITS = 20  # of the patient's, newest first
STATUSES: dict[type[Refusal], int] = {StepUpNeeded: 401, QuotaSpent: 429}
MUCH = "本小时内查看明文较多，请确认均为工作所需"


class Asking(forms.Form):
    field = forms.ChoiceField(choices=Field.choices)
    purpose = forms.ChoiceField(choices=Purpose.choices)


@needs(May.VIEW_PATIENTS)
@require_GET
def patient(request: HttpRequest, pk: UUID) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    known = get_object_or_404(Patient.objects.seen_by(staff), pk=pk)
    viewing.looked([known], shown=SHOWN, by=staff, at=now)
    shown, history = viewing.masked(known), histories.of(known, seen_by=staff)
    is_worked_with = not shown.is_erased and known.restricted_at is None
    context = {
        **admin.site.each_context(request),
        "title": f"患者 {known.number}",
        "shown": shown,
        "since": known.created_at if history.is_of_here else None,
        "is_born": viewing.readable(lambda: "********" if known.born else "未登记"),
        "has_wechat": known.wechat_accounts.exists(),
        "history": history,
        "likenesses": _likenesses(known, staff),
        "correction": known.corrections.filter(state=Correction.State.ASKED).first(),
        "sessions": _sessions(known, staff),
        "standings": standings.of(known, at=now),
        "handed_over": standings.handed_over(known),
        "requests": _requests(known, staff),
        "may_reveal": staff.may(May.REVEAL_PATIENTS) and is_worked_with,
        "may_print": staff.may(May.REGISTER_PATIENTS) and is_worked_with,
        "may_correct": staff.may(May.ASK_CORRECTIONS) and is_worked_with,
        "may_open_rights": staff.may(May.OPEN_RIGHTS),
        "may_see_consents": staff.may(May.HANDLE_CONSENTS) or staff.may(May.VIEW_CONSENTS),
        "may_restrict": staff.may(May.RESTRICT_PATIENTS) and not shown.is_erased,
        "may_decide": staff.may(May.DECIDE_CORRECTIONS),
        "may_link": staff.may(May.LINK_PATIENTS),
        "purposes": Purpose.choices,
    }
    return TemplateResponse(request, "desk/patient.html", context)


@needs(May.REVEAL_PATIENTS)
@require_POST
def reveal(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Answer with one value as JSON, for the page's own script to show for a while."""
    staff, now, asking = staff_of(request), timezone.now(), Asking(request.POST)
    if not asking.is_valid():
        return _problem(400, "invalid", "请选择用途")
    try:
        revealed = revealing.reveal(
            pk,
            Field(asking.cleaned_data["field"]),
            Purpose(asking.cleaned_data["purpose"]),
            by=staff,
            is_fresh=stepup.is_fresh(request.session, at=now),
            at=now,
        )
    except Patient.DoesNotExist:
        raise Http404 from None
    except Refusal as exc:
        status = next((code for kind, code in STATUSES.items() if isinstance(exc, kind)), 409)
        return _problem(status, exc.code, str(exc), **_then(exc, pk))
    answer = {
        "value": revealed.value,
        "seconds": policy.value("REVEAL_SECONDS"),
        "mark": f"{staff.username} {timezone.localtime(now):%Y-%m-%d %H:%M:%S}",
        "warning": MUCH if revealed.is_much else "",
    }
    return JsonResponse(answer)


def _then(refusal: Refusal, pk: UUID) -> dict[str, str]:
    if not isinstance(refusal, StepUpNeeded):
        return {}
    back = urlencode({"next": reverse("desk:patient", args=[pk])})
    return {"go_to": f"{reverse('step-up')}?{back}"}


def _problem(status: int, code: str, detail: str, **more: str) -> HttpResponse:
    body = {"type": "about:blank", "status": status, "code": code, "detail": detail, **more}
    return JsonResponse(body, status=status, content_type=PROBLEM_JSON)


def _likenesses(patient: Patient, staff: Staff) -> list[dict[str, Any]]:
    """Return the records that are, or may be, of the same person; by number, if seen here."""
    about = Likeness.objects.filter(Q(first=patient) | Q(second=patient))
    rows = list(about.exclude(state=Likeness.State.APART))
    others = {one.pk: one.second_id if one.first_id == patient.pk else one.first_id for one in rows}
    seen = Patient.objects.seen_by(staff).filter(pk__in=others.values()).only("number").in_bulk()
    return [{"row": one, "other": seen.get(others[one.pk])} for one in rows]


def _requests(patient: Patient, staff: Staff) -> list[RightsRequest]:
    if not (staff.may(May.OPEN_RIGHTS) or staff.may(May.DECIDE_RIGHTS)):
        return []
    return list(rights.seen_by(staff).filter(patient=patient.pk)[:VISITS])


def _sessions(patient: Patient, staff: Staff) -> list[FaceSession]:
    if not staff.may(May.VIEW_SESSIONS):
        return []
    here = FaceSession.objects.seen_by(staff).select_related("terminal")
    return list(here.filter(patient=patient, state__in=FaceSession.FINAL)[:VISITS])


urls: list[URLPattern] = [
    path("patients/<uuid:pk>/", patient, name="patient"),
    path("patients/<uuid:pk>/reveal/", reveal, name="reveal"),
]
