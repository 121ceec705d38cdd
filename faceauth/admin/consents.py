from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.forms import ModelForm
from django.http import HttpRequest

from faceauth.admin.notice_acts import NoticeActs
from faceauth.admin.places import where
from faceauth.models import Consent, Notice
from hospital import terms
from hospital.admin import GrantedAdmin, in_words
from hospital.audit.actions import Action
from hospital.audit.trailed import TrailedAdmin
from hospital.notice_text import draft
from hospital.paging import Keyset
from hospital.roles import May


@admin.register(Notice)
class NoticeAdmin(NoticeActs, TrailedAdmin):
    view = frozenset({May.MANAGE_NOTICES, May.APPROVE_NOTICES})
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
        "digest_sm3",
    ]
    readonly_fields = ["in_force_from", "digest", "digest_sm3"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with what the inventory and the terms in force say today."""
        written = draft(
            hospital=settings.HOSPITAL_NAME,
            contact=settings.PRIVACY_CONTACT,
            period=terms.period,
            has_his=bool(settings.HIS_FHIR_URL),
        )
        return asdict(written)

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


CONSENT_SHOWN = (
    "at",
    "answer",
    "agreed",
    "notice",
    "notice_digest",
    "digest_sm3",
    "place",
    "withdrawn_at",
)


@admin.register(Consent)
class ConsentAdmin(GrantedAdmin):
    view = frozenset({May.VIEW_CONSENTS})
    list_display = ["at", "answer", "notice", "place", "withdrawn_at"]
    list_filter = ["granted"]
    list_select_related = ["notice", "terminal"]
    fields = readonly_fields = CONSENT_SHOWN

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Keyset]:
        return Keyset

    @admin.display(description="同意的目的")
    def agreed(self, consent: Consent) -> str:
        labels = {purpose["code"]: purpose["label"] for purpose in consent.notice.purposes}
        return "；".join(labels.get(code, code) for code in consent.purposes) or "—"

    @admin.display(description="告知书摘要（SM3）")
    def digest_sm3(self, consent: Consent) -> str:
        return consent.notice.digest_sm3

    answer = staticmethod(in_words("granted", label="表态", yes="同意", no="不同意"))

    @admin.display(description="终端")
    def place(self, consent: Consent) -> str:
        return where(consent)
