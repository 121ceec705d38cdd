"""依法保全: whose data stays whatever is due, and until when; one asks, another decides."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.html import format_html

from hospital import stepup
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.audit.proposals import Proposal
from hospital.paging import Keyset
from hospital.patients import documents
from hospital.patients.models import Patient
from hospital.privacy import holding, placing
from hospital.privacy.models import LegalHold
from hospital.roles import May


class Reason(forms.Form):
    note = forms.CharField(
        label="理由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内，如案件或投诉编号；写进留痕，不要写患者信息",
    )


class Asking(Reason):
    """Whom to hold, and until when."""

    number = forms.CharField(label="患者编号", max_length=16)
    until = forms.DateField(
        label="保全至",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="含当天，三年以内；到期自动解除",
    )
    field_order = ("number", "until", "note")

    def clean_number(self) -> Patient:
        number = self.cleaned_data["number"].strip().upper()
        patient = Patient.objects.filter(number=number).first()
        if patient is None:
            raise forms.ValidationError("没有这个患者编号")
        return patient


@admin.register(LegalHold)
class LegalHoldAdmin(GrantedAdmin):
    view = frozenset({May.ASK_HOLD, May.APPROVE_HOLD})
    list_display = ("number", "until", "standing", "placed_at", "lifted_at")
    list_display_links = ("number",)
    sortable_by = ()
    fields = readonly_fields = ("number", "until", "standing", "reason", "placed_at", "lifted_at")
    change_form_template = "admin/privacy/legalhold/change_form.html"
    change_list_template = "admin/privacy/legalhold/change_list.html"
    list_select_related = ("patient",)

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("ask/", self.ask_view, "ask"),
            self.at("<uuid:pk>/lifting/", self.lifting_view, "lifting"),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Keyset]:
        return Keyset

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may_ask = staff_of(request).may(May.ASK_HOLD)
        return super().changelist_view(request, {"may_ask": may_ask, **(extra_context or {})})

    @admin.display(description="患者编号")
    def number(self, hold: LegalHold) -> str:
        return documents.in_part(hold.patient.number)

    @admin.display(description="状态")
    def standing(self, hold: LegalHold) -> str:
        badge, word = ("authorized", "保全中") if _stands(hold) else ("expired", "已解除或到期")
        return format_html('<span class="badge badge-{}">{}</span>', badge, word)

    @admin.display(description="理由")
    def reason(self, hold: LegalHold) -> str:
        asked = Proposal.objects.filter(pk=hold.proposal).first()
        return asked.reason if asked else "—"

    def shown(self, request: HttpRequest, obj: LegalHold) -> dict[str, Any]:
        return {
            "in_part": self.number(obj),
            "may_lift": staff_of(request).may(May.ASK_HOLD) and _stands(obj),
        }

    def ask_view(self, request: HttpRequest) -> HttpResponseBase:
        demand(request, May.ASK_HOLD)
        return self._asked(request)

    @stepup.fresh
    def _asked(self, request: HttpRequest, /) -> HttpResponse:
        form = Asking(request.POST or None, label_suffix="")
        if request.method == "POST" and form.is_valid():
            given = form.cleaned_data
            ask = partial(placing.ask, given["number"], given["until"], reason=given["note"])
            if answer := _handed_in(request, ask):
                return answer
        return self._page(request, "ask", "申请依法保全", form=form)

    def lifting_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        demand(request, May.ASK_HOLD)
        return self._lifting_asked(request, get_object_or_404(LegalHold, pk=pk))

    @stepup.fresh
    def _lifting_asked(self, request: HttpRequest, hold: LegalHold) -> HttpResponse:
        form = Reason(request.POST or None, label_suffix="")
        if request.method == "POST" and form.is_valid():
            ask = partial(placing.ask_to_lift, hold, reason=form.cleaned_data["note"])
            if answer := _handed_in(request, ask):
                return answer
        return self._page(request, "lifting", "申请解除保全", form=form, hold=hold)

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> HttpResponse:
        shown = {**self.admin_site.each_context(request), "title": title, **context}
        return TemplateResponse(request, f"admin/privacy/legalhold/{name}.html", shown)


def _stands(hold: LegalHold) -> bool:
    return holding.standing(at=timezone.now()).filter(pk=hold.pk).exists()


def _handed_in(request: HttpRequest, ask: Callable[..., Proposal]) -> HttpResponse | None:
    asked = None
    with refusals_told(request):
        asked = ask(by=staff_of(request), at=timezone.now())
        messages.success(request, "申请已提交，请另一人批准")
    return redirect("admin:audit_proposal_change", asked.pk) if asked else None
