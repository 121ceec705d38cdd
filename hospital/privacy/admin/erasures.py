"""删除个人信息: who is forgotten, how far that is, and what stays; and cancelling in time."""

from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html

from hospital import stepup
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.paging import Keyset
from hospital.patients.models import Patient
from hospital.privacy.erasing import deciding, planning, story
from hospital.privacy.models import Erasure
from hospital.roles import May

State = Erasure.State
BADGES: dict[str, str] = {
    State.COOLING: "guardian_required",
    State.CANCELLED: "expired",
    State.BEGUN: "authorized",
    State.KEYS: "authorized",
    State.ROWS: "authorized",
    State.TRACES: "authorized",
    State.DONE: "success",
}


@admin.register(Erasure)
class ErasureAdmin(GrantedAdmin):
    view = frozenset({May.APPROVE_ERASURE})
    list_display = ("number", "cause", "standing", "decided_at", "due_at", "done_at")
    list_display_links = ("number",)
    list_filter = ("state", "cause")
    sortable_by = ()
    fields = readonly_fields = (
        "number",
        "cause",
        "standing",
        "decided_at",
        "due_at",
        "began_at",
        "done_at",
        "ledger_place",
    )
    change_form_template = "admin/privacy/erasure/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        cancel = self.admin_site.admin_view(self.cancel_view)
        return [
            path("<uuid:pk>/cancel/", cancel, name="privacy_erasure_cancel"),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Keyset]:
        return Keyset

    @admin.display(description="患者编号")
    def number(self, erasure: Erasure) -> str:
        return _number(erasure)

    @admin.display(description="状态")
    def standing(self, erasure: Erasure) -> str:
        badge, shown = BADGES[erasure.state], erasure.get_state_display()
        return format_html('<span class="badge badge-{}">{}</span>', badge, shown)

    def shown(self, request: HttpRequest, obj: Erasure) -> dict[str, Any]:
        return {
            "number": _number(obj),
            "steps": story.steps(obj),
            "plan": [part for part in planning.plan(obj.subject) if part.count],
            "is_over": obj.state == State.DONE,
            "may_cancel": obj.state == State.COOLING,
        }

    def cancel_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        demand(request, May.APPROVE_ERASURE)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        return self._cancelled(request, get_object_or_404(Erasure, pk=pk))

    @stepup.fresh
    def _cancelled(self, request: HttpRequest, erasure: Erasure) -> HttpResponse:
        with refusals_told(request):
            deciding.cancel(erasure, by=staff_of(request), at=timezone.now())
            messages.success(request, "已取消，该患者的信息保留")
        return redirect("admin:privacy_erasure_change", erasure.pk)


def _number(erasure: Erasure) -> str:
    number = Patient.objects.filter(pk=erasure.subject).values_list("number", flat=True).first()
    return number or "档案已不存在"
