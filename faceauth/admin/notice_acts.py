"""Asking to have patients told a draft: another decides."""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from faceauth import enforcing
from faceauth.models import Notice
from hospital import stepup
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.audit import proposing
from hospital.audit.proposals import Proposal
from hospital.roles import May


class Reason(forms.Form):
    note = forms.CharField(
        label="理由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；写明与上一版有何不同",
    )


class NoticeActs(GrantedAdmin):
    """The door behind the page of one notice."""

    change_form_template = "admin/faceauth/notice/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.enforcement_view)
        door = path("<uuid:pk>/enforcement/", view, name="faceauth_notice_enforcement")
        return [door, *super().get_urls()]

    def shown(self, request: HttpRequest, obj: Notice) -> dict[str, Any]:
        asked = _asked(obj)
        is_draft = obj.in_force_from is None
        may_ask = staff_of(request).may(May.MANAGE_NOTICES)
        return {"asked": asked, "may_ask": is_draft and asked is None and may_ask}

    def enforcement_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        demand(request, May.MANAGE_NOTICES)
        return self._enforcement_asked(request, get_object_or_404(Notice, pk=pk))

    @stepup.fresh
    def _enforcement_asked(self, request: HttpRequest, notice: Notice) -> HttpResponse:
        form = Reason(request.POST or None, label_suffix="")
        if request.method == "POST" and form.is_valid():
            asked = None
            with refusals_told(request):
                facts, note = enforcing.stated(notice), form.cleaned_data["note"]
                tag, person, now = enforcing.KIND.tag, staff_of(request), timezone.now()
                asked = proposing.ask(tag, facts, reason=note, by=person, at=now)
                messages.success(request, "申请已提交，请安全管理员批准")
            if asked:
                return redirect("admin:faceauth_notice_change", notice.pk)
        shown = {**self.admin_site.each_context(request), "title": "申请生效"}
        shown |= {"notice": notice, "form": form}
        return TemplateResponse(request, "admin/faceauth/notice/enforcement.html", shown)


def _asked(notice: Notice) -> Proposal | None:
    """Return the request about it that is not done yet; those that are open are few."""
    states = [Proposal.State.ASKED, Proposal.State.APPROVED]
    open_ = Proposal.objects.filter(kind=enforcing.KIND.tag, state__in=states)
    return next((one for one in open_ if one.facts.get("notice") == str(notice.pk)), None)
