from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from hospital import stepup
from hospital.accounts import campuses, granting, passwords
from hospital.accounts.admin.staff_acts import StaffActs, about
from hospital.accounts.admin.staff_forms import Account
from hospital.accounts.models import Staff, staff_of
from hospital.audit.actions import Action
from hospital.audit.trailed import TrailedAdmin
from hospital.roles import SEALED, May

admin.site.unregister(Group)  # roles come from one table, not from groups

NEW = ("username", "display_name", "person_id", "is_vendor", "valid_until")
SHOWN = (
    "username",
    "display_name",
    "person_id",
    "held",
    "place",
    "clearance",
    "kind",
    "standing",
    "valid_until",
    "last_login",
)
WRITTEN = ("username", "display_name", "person_id", "valid_until", "is_active")
# Who has logged in with an account stays the one whose it is.
OWN = frozenset({"username", "person_id"})
# And so does who was given a role, or is about to be: two people agreed on a person.
AGREED = OWN | {"display_name"}


@admin.register(Staff)
class StaffAdmin(StaffActs, TrailedAdmin):
    """The system administrator makes and stops accounts. What they may do takes two people."""

    view = frozenset({May.MANAGE_STAFF, May.ASSIGN_ROLES, May.VIEW_SYSTEM})
    add = change = May.MANAGE_STAFF
    created, changed = Action.STAFF_CREATE, Action.STAFF_CHANGE
    stated = frozenset({"is_active"})
    form = Account
    list_display = ["username", "display_name", "held", "place", "standing", "last_login"]
    list_filter = ["role", "is_active", "is_vendor"]
    search_fields = ["username", "display_name"]
    ordering = ["username"]
    change_form_template = "admin/accounts/staff/change_form.html"

    @admin.display(description="角色", ordering="role")
    def held(self, staff: Staff) -> str:
        return staff.get_role_display() or "未授予"

    @admin.display(description="院区", ordering="campus")
    def place(self, staff: Staff) -> str:
        return campuses.name(staff.campus) if staff.campus else "—"

    @admin.display(description="人员类型")
    def kind(self, staff: Staff) -> str:
        return "厂商人员" if staff.is_vendor else "本院人员"

    @admin.display(description="状态", ordering="is_active")
    def standing(self, staff: Staff) -> SafeString:
        badge, shown = _standing(staff, at=timezone.now())
        return format_html('<span class="badge badge-{}">{}</span>', badge, shown)

    def has_change_permission(self, request: HttpRequest, obj: Staff | None = None) -> bool:
        is_theirs = obj is not None and (obj.pk == request.user.pk or obj.role in SEALED)
        return super().has_change_permission(request, obj) and not is_theirs

    def get_fields(self, request: HttpRequest, obj: Staff | None = None) -> Any:
        if obj is None:
            return NEW
        if not self.has_change_permission(request, obj):
            hidden = {"person_id"} if staff_of(request).is_vendor else set()
            return [name for name in SHOWN if name not in hidden]
        return [name for name in SHOWN if name != "standing"] + ["is_active"]

    def get_readonly_fields(self, request: HttpRequest, obj: Staff | None = None) -> Any:
        if obj is None:
            return []
        fixed = _fixed(obj)
        return [
            name for name in self.get_fields(request, obj) if name not in WRITTEN or name in fixed
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        # Each new account ends on the page with its password.
        context["show_save_and_add_another"] = False
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool
    ) -> None:
        if not change:
            obj.password = make_password(None)
        super().save_model(request, obj, form, change)
        if change and "is_active" in form.changed_data:
            self._switched(request, obj, at=timezone.now())

    def _switched(self, request: HttpRequest, staff: Staff, *, at: datetime) -> None:
        account = Staff.objects.filter(pk=staff.pk)
        account.update(session_number=F("session_number") + 1)
        if not staff.is_active:
            return
        account.update(enabled_at=at)
        if granting.begin_anew(staff, by=staff_of(request), at=at):
            messages.warning(request, f"{staff}：原角色已收回，须由安全管理员重新申请授予")

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._added(request, form_url, extra_context)  # type: ignore[return-value]

    @stepup.fresh
    def _added(self, request: HttpRequest, form_url: str, extra_context: Any) -> HttpResponseBase:
        return super().add_view(request, form_url, extra_context)

    def response_add(
        self, request: HttpRequest, obj: Staff, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self.handed_over(request, obj, passwords.issue(obj, at=timezone.now()))


def _fixed(staff: Staff) -> frozenset[str]:
    """Return what nobody may write any more."""
    if staff.role or about(staff):
        return AGREED
    return OWN if staff.last_login else frozenset()


def _standing(staff: Staff, *, at: datetime) -> tuple[str, str]:
    """Return a badge and a word for how an account stands."""
    if not staff.is_active:
        return "expired", "停用"
    if staff.has_ended(at=at):
        return "expired", "已到期"
    if not staff.has_usable_password():
        return "declined", "待领取密码"
    if staff.must_change_password:
        return "declined", "待首次登录"
    return ("success", "启用") if staff.role else ("declined", "未授予角色")
