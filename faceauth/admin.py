import hashlib
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, URLField
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from faceauth import consent
from faceauth.models import Consent, FaceSession, Merchant, Notice
from faceauth.reasons import for_staff
from hospital.accounts.middleware import by_itself
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin, in_words
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.trailed import TrailedAdmin
from hospital.patients import viewing
from hospital.patients.models import Patient
from hospital.roles import May

REMEMBERED = 3600  # seconds a session's list of people already recorded is kept

FACESESSION_SHOWN = (
    "id",
    "badge",
    "explanation",
    "patient_shown",
    "place",
    "consent_shown",
    "opened_at",
    "finished_at",
    "attempts",
    "wechat_request_id",
)


@admin.register(FaceSession)
class FaceSessionAdmin(GrantedAdmin):
    """What happens in the lobby, newest first; the page of one tells its story."""

    view = frozenset({May.VIEW_SESSIONS})
    change_form_template = "admin/faceauth/facesession/change_form.html"
    list_display = ["opened_at", "badge", "patient_shown", "place", "short_id"]
    list_display_links = ["opened_at", "short_id"]
    list_filter = ["state", "terminal__store"]
    list_select_related = ["patient", "terminal"]
    fields = readonly_fields = FACESESSION_SHOWN

    @admin.display(description="状态", ordering="state")
    def badge(self, session: FaceSession) -> str:
        return format_html(
            '<span class="badge badge-{}">{}</span>', session.state, session.get_state_display()
        )

    @admin.display(description="患者")
    def patient_shown(self, session: FaceSession) -> str:
        if session.patient is None:
            return "—"
        return f"{session.patient.masked_name}  {session.patient.number}"

    @admin.display(description="终端")
    def place(self, session: FaceSession) -> str:
        return _place(session)

    @admin.display(description="编号")
    def short_id(self, session: FaceSession) -> str:
        return str(session.pk)[-8:]

    @admin.display(description="说明")
    def explanation(self, session: FaceSession) -> str:
        return for_staff(session) or "—"

    @admin.display(description="同意")
    def consent_shown(self, session: FaceSession) -> str:
        return f"{session.consent}（告知书{session.consent.notice}）"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        response = super().changelist_view(request, extra_context)
        listed = getattr(response, "context_data", None) or {}
        if "cl" in listed:
            patients = [session.patient for session in listed["cl"].result_list]
            _show(request, patients, ticks=by_itself(request))
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        session: FaceSession = context["original"]
        _show(request, [session.patient], ticks=False)
        steps = [
            {"at": event.at, "what": event.label, "failed": event.outcome != "success"}
            for event in Event.objects.on(session).order_by("id")
        ]
        return super().render_change_form(request, {**context, "steps": steps}, *args, **kwargs)


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

    @admin.display(description="同意的目的")
    def agreed(self, consent: Consent) -> str:
        labels = {purpose["code"]: purpose["label"] for purpose in consent.notice.purposes}
        return "；".join(labels.get(code, code) for code in consent.purposes) or "—"

    answer = staticmethod(in_words("granted", label="表态", yes="同意", no="不同意"))

    @admin.display(description="终端")
    def place(self, consent: Consent) -> str:
        return _place(consent)


@admin.register(Merchant)
class MerchantAdmin(TrailedAdmin):
    view = frozenset({May.MANAGE_MERCHANTS})
    add = change = May.MANAGE_MERCHANTS
    created, changed = Action.MERCHANT_CREATE, Action.MERCHANT_CHANGE
    stated = frozenset({"v2_base_url", "v3_base_url"})
    list_display = ["mch_id", "appid", "sub_mch_id", "use", "changed_at"]
    use = staticmethod(in_words("is_active", label="状态", yes="使用中", no="已停用"))
    # A plain input: Django's own would put a link to WeChat on the hospital's page.
    formfield_overrides = {
        URLField: {
            "widget": forms.URLInput(attrs={"class": "vURLField"}),
            "assume_scheme": "https",
        }
    }


def _place(visit: FaceSession | Consent) -> str:
    """Text, not the link Django makes of a foreign key: these readers may not open terminals."""
    return f"{visit.terminal.name}（{visit.terminal}）"


def _show(request: HttpRequest, patients: list[Patient | None], *, ticks: bool) -> None:
    shown = {patient.pk: patient for patient in patients if patient}
    viewing.prepare(list(shown.values()))
    # A page that ticks shows the same people again: of those, only who is new is recorded. The
    # header that says so is the client's, so it may not spare anybody's first time.
    session = hashlib.sha256(str(request.session.session_key).encode()).hexdigest()
    before: set[UUID] = cache.get(f"shown:{session}", set())
    new = shown.keys() - before if ticks else shown.keys()
    viewing.looked([shown[pk] for pk in new], by=staff_of(request), at=timezone.now())
    cache.set(f"shown:{session}", before | new, REMEMBERED)
