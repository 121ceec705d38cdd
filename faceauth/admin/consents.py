from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone

from faceauth import consent
from faceauth.admin.places import where
from faceauth.models import Consent, Notice
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin, in_words
from hospital.audit.actions import Action
from hospital.audit.trailed import TrailedAdmin
from hospital.paging import Keyset
from hospital.roles import May


@admin.register(Notice)
class NoticeAdmin(TrailedAdmin):
    view = frozenset({May.MANAGE_NOTICES})
    add = change = May.MANAGE_NOTICES
    created, changed = Action.NOTICE_CREATE, Action.NOTICE_CHANGE
    stated = frozenset({"version"})
    list_display = ["version", "title", "in_force_from", "digest"]
    fields = [
        "version",
        "title",
        "text",
        "purposes",
        "fallback",
        "in_force_from",
        "digest",
    ]
    readonly_fields = ["in_force_from", "digest"]
    actions = ["enforce"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        example = {"code": "onboarding", "label": "用我的姓名和证件号码建立就诊档案"}
        return {"purposes": [{**example, "required": True}]}

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A notice somebody may have agreed to is never edited."""
        in_force = obj is not None and obj.in_force_from is not None
        return super().has_change_permission(request, obj) and not in_force

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool
    ) -> None:
        # It may have come into force since the form was opened.
        if change:
            draft = Notice.objects.select_for_update().get(pk=obj.pk)
            if draft.in_force_from:
                raise PermissionDenied
            for name in form.changed_data:
                setattr(draft, name, getattr(obj, name))
            obj = draft  # with what others changed, or the digest would be of neither
        super().save_model(request, obj, form, change)

    @admin.action(description="使所选告知书生效", permissions=["change"])
    def enforce(self, request: HttpRequest, queryset: QuerySet[Notice]) -> None:
        for notice in queryset:
            try:
                consent.enforce(notice, by=staff_of(request), at=timezone.now())
            except consent.AlreadyInForce as exc:
                self.message_user(request, f"{notice}：{exc}", messages.WARNING)
            else:
                self.message_user(request, f"{notice}：已生效")


CONSENT_SHOWN = ("at", "answer", "agreed", "notice", "notice_digest", "place")


@admin.register(Consent)
class ConsentAdmin(GrantedAdmin):
    view = frozenset({May.VIEW_CONSENTS})
    list_display = ["at", "answer", "notice", "place"]
    list_filter = ["granted"]
    list_select_related = ["notice", "terminal"]
    fields = readonly_fields = CONSENT_SHOWN

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Keyset]:
        return Keyset

    @admin.display(description="同意的目的")
    def agreed(self, consent: Consent) -> str:
        labels = {purpose["code"]: purpose["label"] for purpose in consent.notice.purposes}
        return "；".join(labels.get(code, code) for code in consent.purposes) or "—"

    answer = staticmethod(in_words("granted", label="表态", yes="同意", no="不同意"))

    @admin.display(description="终端")
    def place(self, consent: Consent) -> str:
        return where(consent)
