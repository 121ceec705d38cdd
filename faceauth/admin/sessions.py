import hashlib
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.cache import cache
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from faceauth.admin.places import where
from faceauth.models import FaceSession
from faceauth.reasons import for_staff
from hospital.accounts.middleware import by_itself
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin
from hospital.audit.models import Event
from hospital.patients import viewing
from hospital.patients.models import Patient
from hospital.roles import May

REMEMBERED = 3600  # seconds a session's list of people already recorded is kept

FACESESSION_SHOWN = (
    "id",
    "kind",
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
    list_filter = ["state", "kind", "terminal__store"]
    list_select_related = ["patient", "terminal"]
    fields = readonly_fields = FACESESSION_SHOWN

    @admin.display(description="状态", ordering="state")
    def badge(self, session: FaceSession) -> str:
        return format_html(
            '<span class="badge badge-{}">{}</span>', session.state, session.get_state_display()
        )

    @admin.display(description="患者")
    def patient_shown(self, session: FaceSession) -> str:
        patient = session.settled_patient
        return f"{patient.masked_name}  {patient.number}" if patient else "—"

    @admin.display(description="终端")
    def place(self, session: FaceSession) -> str:
        return where(session)

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
            patients = [session.settled_patient for session in listed["cl"].result_list]
            _show(request, patients, ticks=by_itself(request))
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        session: FaceSession = context["original"]
        _show(request, [session.settled_patient], ticks=False)
        steps = [
            {"at": event.at, "what": event.label, "failed": event.outcome != "success"}
            for event in Event.objects.on(session).order_by("id")
        ]
        return super().render_change_form(request, {**context, "steps": steps}, *args, **kwargs)


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
