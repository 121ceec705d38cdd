"""合规状况: what is met right now, what is not and why; and the pack for an assessor."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views import View

from hospital.accounts.models import staff_of
from hospital.admin import demand
from hospital.compliance import collecting, matrix
from hospital.compliance.seen import State
from hospital.roles import May
from hospital.stepup import fresh

BADGES = {State.MET: "success", State.UNMET: "failed", State.DUTY: "expired"}


class Guarded(View):
    """For whoever may see the state of compliance."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        demand(request, May.VIEW_COMPLIANCE)
        return super().dispatch(request, *args, **kwargs)


class Matrix(Guarded):
    """Without what reads whole tables: that is looked at when evidence is collected."""

    def get(self, request: HttpRequest) -> HttpResponse:
        found = matrix.findings(at=timezone.now(), thorough=False)
        wanted = request.GET.get("state", "")
        shown = [one for one in found if wanted in {"", one.state.value}]
        counted = matrix.counts(found)
        context = {
            **admin.site.each_context(request),
            "title": "合规状况",
            "rows": [(one, BADGES[one.state]) for one in shown],
            "choices": [(state.value, state.label, counted[state]) for state in State],
            "wanted": wanted,
            "total": len(found),
            "slow": [row for row in matrix.ROWS if row.is_slow],
        }
        return TemplateResponse(request, "compliance/matrix.html", context)


class Collect(Guarded):
    """Hand out the pack; who has just shown that it is them comes back by GET, and asks again."""

    @fresh
    def get(self, request: HttpRequest) -> HttpResponse:
        return redirect("compliance:matrix")

    @fresh
    def post(self, request: HttpRequest) -> HttpResponse:
        pack = collecting.collect(by=staff_of(request), at=timezone.now(), thorough=False)
        answer = HttpResponse(pack.zipped(), content_type="application/zip")
        answer["Content-Disposition"] = f'attachment; filename="{pack.name}.zip"'
        return answer
