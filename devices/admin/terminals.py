from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.safestring import SafeString

from devices import activation, journal, qr, suspension
from devices.admin.conditions import ConditionFilter, badges, moment, span, suspended
from devices.models import Store, Terminal, TerminalKey, TerminalRequest
from hospital import stepup
from hospital.accounts.models import staff_of
from hospital.admin import refusals_told
from hospital.audit.actions import Action
from hospital.audit.trailed import TrailedAdmin
from hospital.roles import May

GIB = 1024  # MiB

WRITTEN = ("serial", "name", "store")
# What the terminal says of itself, and what became of it.
SEEN = (
    "condition",
    "suspended",
    "replaced",
    "last_seen_at",
    "clock_offset",
    "camera",
    "last_error",
    "disk",
    "running_for",
    "agent_version",
    "sdk_version",
    "model",
    "os",
)


class TerminalActionForm(ActionForm):
    reason = forms.CharField(label="停用原因（仅停用时填写）", max_length=200, required=False)


@admin.register(Terminal)
class TerminalAdmin(TrailedAdmin):
    """Who is there and who is not; the page of one shows its keys and its last requests."""

    view = frozenset({May.MANAGE_TERMINALS})
    add = change = May.MANAGE_TERMINALS
    created, changed = Action.TERMINAL_CREATE, Action.TERMINAL_CHANGE
    change_form_template = "admin/devices/terminal/change_form.html"
    list_display = ["serial", "name", "store", "condition", "last_seen_at", "agent_version"]
    list_select_related = ["store", "suspension"]
    list_filter = [ConditionFilter, "store"]
    readonly_fields = SEEN
    action_form = TerminalActionForm
    actions = ["issue_code", "revoke_keys", "suspend", "resume"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*WRITTEN, *SEEN) if obj else WRITTEN

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        offered = lookup == ConditionFilter.parameter_name
        return offered or super().lookup_allowed(lookup, value, request)

    def get_form(
        self, request: HttpRequest, obj: Terminal | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Any]]:
        """A terminal stays at its campus: whoever works there sees the visits it had."""
        form = super().get_form(request, obj, change, **kwargs)
        if obj and (store := form.base_fields.get("store")):
            assert isinstance(store, forms.ModelChoiceField)  # noqa: S101 (a foreign key's)
            store.queryset = Store.objects.filter(campus=obj.store.campus)
        return form

    def get_urls(self) -> list[URLPattern]:
        revocation = path(
            "<uuid:pk>/keys/<slug:key_id>/revocation/",
            self.admin_site.admin_view(self.revoke_key),
            name="devices_terminal_revoke_key",
        )
        return [revocation, *super().get_urls()]

    @admin.display(description="状态")
    def condition(self, terminal: Terminal) -> SafeString:
        return badges(terminal, at=timezone.now())

    @admin.display(description="停用")
    def suspended(self, terminal: Terminal) -> str:
        return suspended(terminal)

    @admin.display(description="已被新设备接替")
    def replaced(self, terminal: Terminal) -> str:
        return moment(terminal.replaced_at)

    @admin.display(description="磁盘剩余")
    def disk(self, terminal: Terminal) -> str:
        free = terminal.disk_free_mb
        return "—" if free is None else f"{free / GIB:.1f} GB"

    @admin.display(description="已运行")
    def running_for(self, terminal: Terminal) -> str:
        return span(terminal.uptime)

    def shown(self, request: HttpRequest, obj: Terminal) -> dict[str, Any]:
        journal.flush()  # of this process; another's are a second behind
        return {
            "keys": obj.keys.order_by("-created_at"),
            "requests": obj.requests.all()[: TerminalRequest.KEPT],
        }

    @admin.action(description="生成激活码", permissions=["change"])
    @stepup.fresh
    def issue_code(self, request: HttpRequest, queryset: QuerySet[Terminal]) -> HttpResponse:
        """Show the codes in this very answer: a message would keep them in a cookie."""
        now, context = timezone.now(), self.admin_site.each_context(request)
        live = [terminal for terminal in queryset if activation.is_live(terminal, at=now)]
        if live and "confirmed" not in request.POST:
            asked = {**context, "title": "激活码", "live": live, "chosen": queryset}
            return TemplateResponse(request, "devices/activation_confirmation.html", asked)
        server = request.build_absolute_uri("/")
        issued = []
        for terminal in queryset:
            with refusals_told(request):
                code = activation.issue(terminal, by=staff_of(request), at=now)
                image = qr.svg(activation.invitation(code, server=server), title="激活二维码")
                issued.append((terminal, code, image))
        shown = {**context, "title": "激活码", "issued": issued}
        return TemplateResponse(request, "devices/activation_codes.html", shown)

    @admin.action(description="吊销终端密钥", permissions=["change"])
    def revoke_keys(self, request: HttpRequest, queryset: QuerySet[Terminal]) -> None:
        for terminal in queryset:
            for key in terminal.keys.in_force():
                activation.revoke(key, by=staff_of(request), at=timezone.now())
            self.message_user(request, f"{terminal}：密钥已吊销，须重新激活")

    def revoke_key(self, request: HttpRequest, pk: UUID, key_id: str) -> HttpResponse:
        """Cut off one of a terminal's keys, on its next request."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        keys = TerminalKey.objects.select_related("terminal").filter(terminal=pk)
        activation.revoke(
            get_object_or_404(keys, pk=key_id), by=staff_of(request), at=timezone.now()
        )
        self.message_user(request, "密钥已吊销")
        return redirect("admin:devices_terminal_change", pk)

    @admin.action(description="停用所选终端", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Terminal]) -> None:
        reason = request.POST.get("reason", "").strip()
        if not reason:
            self.message_user(request, "请填写停用原因", messages.ERROR)
            return
        for terminal in queryset:
            try:
                suspension.suspend(
                    terminal, by=staff_of(request), at=timezone.now(), reason=reason[:200]
                )
            except suspension.AlreadySuspended as exc:
                self.message_user(request, f"{terminal}：{exc}", messages.WARNING)
            else:
                self.message_user(request, f"{terminal}：已停用")

    @admin.action(description="恢复所选终端", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Terminal]) -> None:
        for terminal in queryset:
            try:
                suspension.resume(terminal, by=staff_of(request), at=timezone.now())
            except suspension.NotSuspended as exc:
                self.message_user(request, f"{terminal}：{exc}", messages.WARNING)
            else:
                self.message_user(request, f"{terminal}：已恢复")
