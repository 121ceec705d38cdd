from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from hospital import roles
from hospital.accounts.models import Staff
from hospital.admin import in_words
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.audit.trailed import TrailedAdmin
from hospital.roles import May

admin.site.unregister(Group)  # roles come from one table, not from groups

# Which fields each right lets its holder change.
CHANGES = {
    May.MANAGE_STAFF: {"username", "display_name", "person_id", "is_active"},
    May.ASSIGN_ROLES: {"role"},
}


class StaffCreation(AdminUserCreationForm):  # type: ignore[type-arg]
    usable_password = None  # type: ignore[assignment]

    class Meta:
        model = Staff
        fields = ["username", "display_name", "person_id"]


@admin.register(Staff)
class StaffAdmin(TrailedAdmin):
    """The system administrator makes and stops accounts; the security administrator gives roles."""

    view = frozenset({May.MANAGE_STAFF, May.ASSIGN_ROLES})
    add = May.MANAGE_STAFF
    created, changed = Action.STAFF_CREATE, Action.STAFF_CHANGE
    stated = frozenset({"is_active"})
    apart = frozenset({"role"})
    list_display = ["username", "display_name", "role", "enabled", "last_login"]
    list_filter = ["role", "is_active"]
    fields = ["username", "display_name", "person_id", "role", "is_active", "last_login"]
    enabled = staticmethod(in_words("is_active", label="状态", yes="启用", no="停用"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        myself = obj is not None and obj.pk == request.user.pk
        return self.has_view_permission(request) and not myself

    def get_form(
        self, request: HttpRequest, obj: Staff | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Any]]:
        if obj is None:
            kwargs["form"] = StaffCreation
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return [*StaffCreation.Meta.fields, "password1", "password2"]
        may_stop = roles.may(request.user, May.MANAGE_STAFF)
        if may_stop and self.has_change_permission(request, obj):
            return self.fields
        return ["enabled" if name == "is_active" else name for name in self.fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return []
        mine: set[str] = set()
        for right, names in CHANGES.items():
            if roles.may(request.user, right):
                mine |= names
        return [name for name in self.get_fields(request, obj) if name not in mine]

    def save_model(
        self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if change and "role" in form.changed_data:
            record(
                Action.ROLE_ASSIGN,
                by=request.user,  # type: ignore[arg-type]
                on=obj,
                at=timezone.now(),
                before=form.initial.get("role", ""),
                after=obj.role,
            )
