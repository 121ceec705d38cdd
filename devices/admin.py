from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from devices import activation, presence, suspension
from devices.models import Store, Terminal
from hospital.accounts.models import staff_of
from hospital.audit.actions import Action
from hospital.audit.trailed import TrailedAdmin
from hospital.roles import May


@admin.register(Store)
class StoreAdmin(TrailedAdmin):
    view = frozenset({May.MANAGE_STORES})
    add = change = May.MANAGE_STORES
    created, changed = Action.STORE_CREATE, Action.STORE_CHANGE
    list_display = ["code", "name"]


# What the terminal says of itself.
SEEN = (
    "condition",
    "model",
    "sdk_version",
    "agent_version",
    "os",
    "camera",
    "clock_offset",
    "last_seen_at",
)


class TerminalActionForm(ActionForm):
    reason = forms.CharField(label="停用原因（仅停用时填写）", max_length=200, required=False)


@admin.register(Terminal)
class TerminalAdmin(TrailedAdmin):
    view = frozenset({May.MANAGE_TERMINALS})
    add = change = May.MANAGE_TERMINALS
    created, changed = Action.TERMINAL_CREATE, Action.TERMINAL_CHANGE
    list_display = ["serial", "name", "store", "condition", "last_seen_at"]
    list_select_related = ["store", "suspension"]
    list_filter = ["store"]
    fields = ("serial", "name", "store", *SEEN)
    readonly_fields = SEEN
    action_form = TerminalActionForm
    actions = ["issue_code", "revoke_keys", "suspend", "resume"]

    @admin.display(description="状态")
    def condition(self, terminal: Terminal) -> str:
        if terminal.pk and hasattr(terminal, "suspension"):
            return "已停用"
        if terminal.last_seen_at is None:
            return "未上线"
        return "失联" if presence.is_silent(terminal, at=timezone.now()) else "在线"

    @admin.action(description="生成激活码", permissions=["change"])
    def issue_code(self, request: HttpRequest, queryset: QuerySet[Terminal]) -> HttpResponse:
        """Show the codes in this very answer: a message would keep them in a cookie."""
        issued = [
            (terminal, activation.issue(terminal, by=staff_of(request), at=timezone.now()))
            for terminal in queryset
        ]
        context = {**self.admin_site.each_context(request), "title": "激活码", "issued": issued}
        return TemplateResponse(request, "devices/activation_codes.html", context)

    @admin.action(description="吊销终端密钥", permissions=["change"])
    def revoke_keys(self, request: HttpRequest, queryset: QuerySet[Terminal]) -> None:
        for terminal in queryset:
            for key in terminal.keys.in_force():
                activation.revoke(key, by=staff_of(request), at=timezone.now())
            self.message_user(request, f"{terminal}：密钥已吊销，须重新激活")

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
