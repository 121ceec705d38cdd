"""Uses of the sealed account: who asks, who allows, who shuts it, who looks at it afterwards."""

from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Concat
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseNotAllowed,
)
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.html import format_html

from hospital import stepup
from hospital.accounts import emergencies, sealed
from hospital.accounts.models import Emergency, Staff, staff_of
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.audit.admin import people
from hospital.roles import May

State = Emergency.State
BADGES: dict[str, str] = {
    State.ASKED: "seen",
    State.OPEN: "guardian_required",
    State.REFUSED: "declined",
    State.LAPSED: "expired",
    State.CLOSED: "authorized",
    State.REVIEWED: "success",
}
DECISIONS = frozenset({"approve", "refuse"})
_ASKER: Final = Subquery(
    Staff.objects.filter(pk=OuterRef("asked_by")).values(
        name=Concat("display_name", Value("（"), "username", Value("）"))
    )
)


class Request(forms.Form):
    """For which campus and why; both approvers and the reviewer read it."""

    campus = forms.ChoiceField(label="院区", help_text="启用后只能查看该院区的患者")
    ticket = forms.RegexField(
        r"^[0-9A-Za-z_.:/-]+\Z",
        label="工单号",
        max_length=32,
        help_text="值班或信息科的工单编号：字母、数字、- . / :",
    )
    reason = forms.CharField(
        label="事由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；写进留痕，不要写患者信息",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["campus"].choices = list(settings.CAMPUSES.items())  # type: ignore[attr-defined]


class Conclusion(forms.Form):
    conclusion = forms.CharField(
        label="复核结论",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；说明查看是否都与事由相符，不要写患者信息",
    )


@admin.register(Emergency)
class EmergencyAdmin(GrantedAdmin):
    """Who asks sees their own; who decides or reviews sees all. Every door is a verb's."""

    view = frozenset({May.ASK_EMERGENCY, *emergencies.OFFICES, May.REVIEW_EMERGENCIES})
    list_display = ("ticket", "place", "standing", "asker", "asked_at", "closes_at")
    list_filter = ("state",)
    fields = readonly_fields = (
        "ticket",
        "place",
        "standing",
        "reason",
        "asker",
        "asked_at",
        "security",
        "privacy",
        "opened_at",
        "fetched_at",
        "closes_at",
        "closed_at",
        "review_due_at",
        "reviewer",
        "conclusion",
    )
    change_form_template = "admin/accounts/emergency/change_form.html"
    change_list_template = "admin/accounts/emergency/change_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Emergency]:
        # The name comes with the row: a list costs the same however long it is.
        return Emergency.objects.seen_by(staff_of(request)).annotate(asker_name=_ASKER)

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("ask/", self.ask_view, "ask"),
            self.at("<uuid:pk>/decision/", self.decision_view, "decision"),
            self.at("<uuid:pk>/password/", self.password_view, "password"),
            self.at("<uuid:pk>/closing/", self.closing_view, "closing"),
            self.at("<uuid:pk>/review/", self.review_view, "review"),
            *super().get_urls(),
        ]

    @admin.display(description="院区", ordering="campus")
    def place(self, emergency: Emergency) -> str:
        return str(settings.CAMPUSES.get(emergency.campus, emergency.campus))

    @admin.display(description="状态", ordering="state")
    def standing(self, emergency: Emergency) -> str:
        badge, shown = BADGES[emergency.state], emergency.get_state_display()
        return format_html('<span class="badge badge-{}">{}</span>', badge, shown)

    @admin.display(description="申请人")
    def asker(self, emergency: Any) -> str:
        return emergency.asker_name or "—"

    @admin.display(description="安全管理员")
    def security(self, emergency: Emergency) -> str:
        return _signed(emergency.security_by, emergency.security_at)

    @admin.display(description="个保负责人")
    def privacy(self, emergency: Emergency) -> str:
        return _signed(emergency.privacy_by, emergency.privacy_at)

    @admin.display(description="复核人")
    def reviewer(self, emergency: Emergency) -> str:
        return _signed(emergency.reviewed_by, emergency.reviewed_at)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        asks = {"may_ask": staff_of(request).may(May.ASK_EMERGENCY)}
        return super().changelist_view(request, {**asks, **(extra_context or {})})

    def shown(self, request: HttpRequest, obj: Emergency) -> dict[str, Any]:
        person = staff_of(request)
        reviews = person.may(May.REVIEW_EMERGENCIES)
        return {
            "heading": f"应急使用 {obj.ticket}",
            "next": _next(obj),
            "may_decide": _may_decide(obj, person),
            "may_fetch": _may_fetch(obj, person),
            "may_close": obj.state == State.OPEN and not reviews,
            "may_review": obj.state == State.CLOSED and reviews,
            "events_url": _events_url(obj) if reviews else "",
            "review": Conclusion(label_suffix=""),
        }

    def ask_view(self, request: HttpRequest) -> HttpResponse:
        demand(request, May.ASK_EMERGENCY)
        form = Request(
            request.POST or None, initial={"campus": staff_of(request).campus}, label_suffix=""
        )
        if request.method == "POST" and form.is_valid():
            with refusals_told(request):
                asked = emergencies.ask(
                    **form.cleaned_data, by=staff_of(request), at=timezone.now()
                )
                messages.success(request, "申请已提交，请联系安全管理员和个保负责人批准")
                return redirect("admin:accounts_emergency_change", asked.pk)
        return self._page(request, "ask", "申请启用应急账号", form=form)

    def decision_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Let one of the two decide, who has just shown that it is them."""
        emergency = self._found(request, pk)
        demand(request, _right_to_decide(staff_of(request)))
        return self._decided(request, emergency)

    @stepup.fresh
    def _decided(self, request: HttpRequest, emergency: Emergency) -> HttpResponse:
        if request.method != "POST":
            return self._page(
                request,
                "decision",
                "审批应急账号",
                emergency=emergency,
                asker=_name(emergency.asked_by),
                place=self.place(emergency),
                may_decide=_may_decide(emergency, staff_of(request)),
            )
        decision = request.POST.get("decision")
        if decision not in DECISIONS:
            return HttpResponseBadRequest("请选择批准或不批准")
        with refusals_told(request):
            emergencies.decide(
                emergency,
                approves=decision == "approve",
                by=staff_of(request),
                at=timezone.now(),
            )
            messages.success(request, _next(emergency) or emergency.get_state_display())
        return redirect("admin:accounts_emergency_change", emergency.pk)

    def password_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        """Show who asked, and has just shown that it is them, the password: once."""
        demand(request, May.ASK_EMERGENCY)
        return self._fetched(request, self._found(request, pk))

    @stepup.fresh
    def _fetched(self, request: HttpRequest, emergency: Emergency) -> HttpResponse:
        person, password = staff_of(request), ""
        if request.method == "POST":
            with refusals_told(request):
                password = emergencies.fetch(emergency, by=person, at=timezone.now())
            if not password:
                return redirect("admin:accounts_emergency_change", emergency.pk)
        return self._page(
            request,
            "password",
            "领取应急密码",
            emergency=emergency,
            username=sealed.found(),
            password=password,
            may_fetch=_may_fetch(emergency, person),
        )

    def closing_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        emergency = self._found(request, pk)
        with refusals_told(request):
            emergencies.close(emergency, by=staff_of(request), at=timezone.now())
            messages.success(request, "应急账号已停用")
        return redirect("admin:accounts_emergency_change", pk)

    def review_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        demand(request, May.REVIEW_EMERGENCIES)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        emergency, form = self._found(request, pk), Conclusion(request.POST, label_suffix="")
        if not form.is_valid():
            # As a page that is only looked at: Django's own form has nothing to save.
            request.method = "GET"
            return self.change_view(request, str(pk), extra_context={"review": form})
        with refusals_told(request):
            emergencies.review(
                emergency, **form.cleaned_data, by=staff_of(request), at=timezone.now()
            )
            messages.success(request, f"已复核：{emergency.ticket}")
        return redirect("admin:accounts_emergency_change", pk)

    def _found(self, request: HttpRequest, pk: UUID) -> Emergency:
        return get_object_or_404(self.get_queryset(request), pk=pk)

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> HttpResponse:
        shown = {**self.admin_site.each_context(request), "title": title, **context}
        return TemplateResponse(request, f"admin/accounts/emergency/{name}.html", shown)


def _right_to_decide(person: Staff) -> May:
    held = [right for right in emergencies.OFFICES if person.may(right)]
    return held[0] if held else next(iter(emergencies.OFFICES))


def _may_decide(emergency: Emergency, person: Staff) -> bool:
    waits = Emergency.objects.waiting(at=timezone.now()).filter(pk=emergency.pk).exists()
    if not waits or emergency.asked_by == person.pk:
        return False
    return any(
        person.may(right) and getattr(emergency, f"{office}_by") is None
        for right, office in emergencies.OFFICES.items()
    )


def _may_fetch(emergency: Emergency, person: Staff) -> bool:
    is_unfetched = emergency.state == State.OPEN and emergency.fetched_at is None
    return is_unfetched and emergency.asked_by == person.pk


def _next(emergency: Emergency) -> str:
    """Return what happens next, in one sentence."""
    match emergency.state:
        case State.ASKED:
            missing = [
                name
                for name, by in (
                    ("安全管理员", emergency.security_by),
                    ("个保负责人", emergency.privacy_by),
                )
                if by is None
            ]
            return f"等待{'和'.join(missing)}批准，24 小时内有效。"
        case State.OPEN if emergency.fetched_at is None:
            return f"已启用，{_clock(emergency)} 自动停用。请申请人领取一次性密码。"
        case State.OPEN:
            return f"正在使用，{_clock(emergency)} 自动停用。用完请立即停用。"
        case State.CLOSED:
            due = timezone.localtime(emergency.review_due_at)
            return f"已停用，请审计管理员在 {due:%Y-%m-%d} 当日内复核。"
    return ""


def _clock(emergency: Emergency) -> str:
    return f"{timezone.localtime(emergency.closes_at):%H:%M}"


def _events_url(emergency: Emergency) -> str:
    """Return where all is that was done with it; empty if it was never open."""
    if emergency.opened_at is None:
        return ""
    account = sealed.found()
    asked = {
        "actor": str(account.pk) if account else "",
        "since": f"{timezone.localtime(emergency.opened_at):%Y-%m-%dT%H:%M}",
    }
    if emergency.closed_at:
        asked["until"] = f"{timezone.localtime(emergency.closed_at):%Y-%m-%dT%H:%M}"
    return f"{reverse('admin:audit_event_changelist')}?{urlencode(asked)}"


def _name(person: object) -> str:
    return people.names([person]).get(str(person), "—")


def _signed(person: object, at: Any) -> str:
    if person is None:
        return "—"
    return f"{_name(person)}，{timezone.localtime(at):%Y-%m-%d %H:%M:%S}"
