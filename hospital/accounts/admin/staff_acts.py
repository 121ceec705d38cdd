"""What is done to an account besides editing it: each is a verb's, and some take two people."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils import timezone

from hospital import stepup
from hospital.accounts import granting, lockout, resetting
from hospital.accounts.admin.staff_forms import Grant, Reason
from hospital.accounts.models import Staff, staff_of
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.audit import proposing
from hospital.audit.admin import proposed
from hospital.audit.proposals import Proposal
from hospital.roles import SEALED, May


class StaffActs(GrantedAdmin):
    """The doors behind the page of one account."""

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("<uuid:pk>/grant/", self.grant_view, "grant"),
            self.at("<uuid:pk>/taking-away/", self.taking_away_view, "taking_away"),
            self.at("<uuid:pk>/reset/", self.reset_view, "reset"),
            self.at("<uuid:pk>/password/", self.password_view, "password"),
            self.at("<uuid:pk>/unlocking/", self.unlocking_view, "unlocking"),
            *super().get_urls(),
        ]

    def shown(self, request: HttpRequest, obj: Staff) -> dict[str, Any]:
        me, now = staff_of(request), timezone.now()
        if obj.pk == me.pk or obj.role in SEALED:  # nobody has a part in what is theirs
            return {}
        assigns, manages = me.may(May.ASSIGN_ROLES), me.may(May.MANAGE_STAFF)
        return {
            "may_grant": assigns and obj.is_active,
            "may_take_away": assigns and obj.role,
            "may_reset": manages and obj.is_active,
            "may_unlock": manages and lockout.is_shut_out(obj, at=now),
            "may_fetch": manages and resetting.fetchable(obj, by=me, at=now) is not None,
            "asked": [
                (proposal.pk, proposed.label(proposal), proposal.get_state_display())
                for proposal in about(obj)
            ]
            if proposing.kinds_for(me)
            else [],
        }

    def grant_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Ask for a role, a campus or a clearance for somebody; another decides."""
        demand(request, May.ASSIGN_ROLES)
        return self._grant_asked(request, _found(pk))

    @stepup.fresh
    def _grant_asked(self, request: HttpRequest, staff: Staff) -> HttpResponse:
        held = {name: getattr(staff, name) for name in granting.GIVEN}
        form = Grant(request.POST or None, initial=held, label_suffix="")
        if request.method == "POST" and form.is_valid():
            facts = granting.stated(staff, form.facts)
            if answer := _ask(request, granting.KIND, facts, form.cleaned_data["note"]):
                return answer
        return self._page(request, "grant", "申请授予角色", staff=staff, form=form)

    def taking_away_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        demand(request, May.ASSIGN_ROLES)
        return self._taken_away(request, _found(pk))

    @stepup.fresh
    def _taken_away(self, request: HttpRequest, staff: Staff) -> HttpResponse:
        if request.method != "POST":
            return self._page(request, "taking_away", "收回角色", staff=staff)
        with refusals_told(request):
            granting.take_away(staff, by=staff_of(request), at=timezone.now())
            messages.success(request, f"{staff}：角色已收回，已退出登录")
        return redirect("admin:accounts_staff_change", staff.pk)

    def reset_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Ask for a new way in for somebody who lost theirs; another decides."""
        demand(request, May.MANAGE_STAFF)
        return self._reset_asked(request, _found(pk))

    @stepup.fresh
    def _reset_asked(self, request: HttpRequest, staff: Staff) -> HttpResponse:
        form = Reason(request.POST or None, label_suffix="")
        if request.method == "POST" and form.is_valid():
            facts, note = {"staff": str(staff.pk)}, form.cleaned_data["note"]
            if answer := _ask(request, resetting.KIND, facts, note):
                return answer
        return self._page(request, "reset", "申请重置登录方式", staff=staff, form=form)

    def password_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Show who asked for a reset, and has just shown that it is them, the password: once."""
        demand(request, May.MANAGE_STAFF)
        return self._fetched(request, _found(pk))

    @stepup.fresh
    def _fetched(self, request: HttpRequest, staff: Staff) -> HttpResponse:
        now, me = timezone.now(), staff_of(request)
        if request.method != "POST":
            may_fetch = resetting.fetchable(staff, by=me, at=now) is not None
            return self._page(
                request, "password", "领取一次性密码", staff=staff, may_fetch=may_fetch
            )
        password = ""
        with refusals_told(request):
            password = resetting.fetch(staff, by=me, at=now)
        if not password:
            return redirect("admin:accounts_staff_change", staff.pk)
        return self.handed_over(request, staff, password)

    def handed_over(self, request: HttpRequest, staff: Staff, password: str) -> HttpResponse:
        """Show a password in this very answer: a message would keep it in a cookie."""
        return self._page(request, "password", "一次性密码", staff=staff, password=password)

    def unlocking_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        demand(request, May.MANAGE_STAFF)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        with refusals_told(request):
            lockout.unlock(_found(pk), by=staff_of(request), at=timezone.now())
            messages.success(request, "已解除登录锁定")
        return redirect("admin:accounts_staff_change", pk)

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> HttpResponse:
        shown = {**self.admin_site.each_context(request), "title": title, **context}
        return TemplateResponse(request, f"admin/accounts/staff/{name}.html", shown)


def _found(pk: UUID) -> Staff:
    return get_object_or_404(Staff, pk=pk)


def about(staff: Staff) -> list[Proposal]:
    """Return what was asked for about an account and is not done yet."""
    open_ = Proposal.objects.filter(
        kind__in=[granting.KIND.tag, resetting.KIND.tag],
        state__in=[Proposal.State.ASKED, Proposal.State.APPROVED],
    )
    # Those that are open are few; the facts are no column to look up by.
    return [one for one in open_.order_by("-id") if one.facts.get("staff") == str(staff.pk)]


def _ask(
    request: HttpRequest, kind: proposing.Kind, facts: dict[str, Any], reason: str
) -> HttpResponse | None:
    asked = None
    with refusals_told(request):
        person, now = staff_of(request), timezone.now()
        asked = proposing.ask(kind.tag, facts, reason=reason, by=person, at=now)
        messages.success(request, "申请已提交，请另一人批准")
    return redirect("admin:audit_proposal_change", asked.pk) if asked else None
