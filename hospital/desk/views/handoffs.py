"""HIS 移交: patients the hospital's own system has not been told of."""

from typing import Final
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from hospital.accounts.models import staff_of
from hospital.admin import refusals_told
from hospital.desk.doors import needs
from hospital.his import reasons
from hospital.patients import handing_off
from hospital.patients.models import HandOff
from hospital.roles import May

SHOWN: Final = 100  # nobody reads further before some of it is done


@needs(May.HANDLE_HANDOFFS)
@require_http_methods(["GET", "HEAD"])
def handoffs(request: HttpRequest) -> HttpResponse:
    ours = HandOff.objects.seen_by(staff_of(request)).select_related("patient")
    dead = ours.undelivered().order_by("id")[:SHOWN]
    late = handing_off.overdue(ours, at=timezone.now()).order_by("id")[:SHOWN]
    return TemplateResponse(
        request,
        "desk/handoffs.html",
        {
            **admin.site.each_context(request),
            "title": "HIS 移交",
            "dead": [(one, reasons.told(one.code)) for one in dead],
            "late": [(one, reasons.told(one.code)) for one in late],
            "shown": SHOWN,
        },
    )


@needs(May.HANDLE_HANDOFFS)
@require_POST
def replay(request: HttpRequest, pk: UUID) -> HttpResponse:
    staff = staff_of(request)
    handoff = get_object_or_404(HandOff.objects.seen_by(staff), pk=pk)
    with refusals_told(request):
        handing_off.replay(handoff, by=staff, at=timezone.now())
        messages.success(request, "已重新移交，几秒后自动发送")
    return redirect("desk:handoffs")


urls: list[URLPattern] = [
    path("handoffs/", handoffs, name="handoffs"),
    path("handoffs/<uuid:pk>/replay/", replay, name="handoff-replay"),
]
