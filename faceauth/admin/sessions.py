from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from devices.models import Store
from faceauth import handling
from faceauth.admin.places import where
from faceauth.admin.story import story
from faceauth.models import FaceSession
from faceauth.reasons import for_staff
from hospital.accounts.middleware import by_itself
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin
from hospital.audit.admin import people
from hospital.audit.facts import Shown
from hospital.paging import Keyset
from hospital.patients import showing, viewing
from hospital.roles import May, may

SHOWN = viewing.NAMED | {Shown.CONSENTS, Shown.VISITS}  # of the patient
FACESESSION_SHOWN = (
    "id",
    "kind",
    "explanation",
    "patient_shown",
    "place",
    "consent_shown",
    "opened_at",
    "finished_at",
    "attempts",
    "wechat_request_id",
    "handled",
)


class OwnStores(admin.RelatedFieldListFilter):
    """The stores of the campus whose visits are listed."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: Any
    ) -> list[tuple[Any, Any]]:
        own = Store.objects.filter(campus=staff_of(request).campus)
        return [(store.pk, str(store)) for store in own]


@admin.register(FaceSession)
class FaceSessionAdmin(GrantedAdmin):
    """What happens in the lobby, newest first; the page of one tells its story."""

    view = frozenset({May.VIEW_SESSIONS})
    change_form_template = "admin/faceauth/facesession/change_form.html"
    list_display = ["opened_at", "badge", "patient_shown", "place", "settled", "short_id"]
    list_display_links = ["opened_at", "short_id"]
    list_filter = ["state", "kind", ("terminal__store", OwnStores)]
    list_select_related = ["patient", "terminal"]
    sortable_by = ()
    empty_value_display = "—"
    fields = readonly_fields = FACESESSION_SHOWN

    def get_queryset(self, request: HttpRequest) -> QuerySet[FaceSession]:
        return FaceSession.objects.seen_by(staff_of(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Keyset]:
        return Keyset

    @admin.display(description="状态")
    def badge(self, session: FaceSession) -> str:
        return format_html(
            '<span class="badge badge-{}">{}</span>', session.state, session.get_state_display()
        )

    @admin.display(description="患者")
    def patient_shown(self, session: FaceSession) -> str:
        patient = session.settled_patient
        if patient is None:
            return "—"
        return f"{viewing.readable(lambda: patient.masked_name)}  {patient.number}"

    @admin.display(description="终端")
    def place(self, session: FaceSession) -> str:
        return where(session)

    @admin.display(description="人工办理")
    def settled(self, session: FaceSession) -> str:
        if session.settlement:
            return session.get_settlement_display()
        if handling.is_unsettled(session):
            return "已接手" if session.taken_by else "待办理"
        return "—"

    @admin.display(description="编号")
    def short_id(self, session: FaceSession) -> str:
        return str(session.pk)[-8:]

    @admin.display(description="说明")
    def explanation(self, session: FaceSession) -> str:
        return for_staff(session) or "—"

    @admin.display(description="同意")
    def consent_shown(self, session: FaceSession) -> str:
        return f"{session.consent}（告知书{session.consent.notice}）"

    @admin.display(description="人工办理")
    def handled(self, session: FaceSession) -> str:
        who = people.names([session.taken_by]).get(str(session.taken_by), "")
        return "，".join(filter(None, [self.settled(session), who]))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        response = super().changelist_view(request, extra_context)
        listed = getattr(response, "context_data", None) or {}
        if "cl" in listed:
            patients = [one.settled_patient for one in listed["cl"].result_list]
            showing.show(request, patients, classes=SHOWN, ticks=by_itself(request))
        return response

    def shown(self, request: HttpRequest, obj: FaceSession) -> dict[str, Any]:
        staff, now = staff_of(request), timezone.now()
        if patient := obj.settled_patient:  # each time, whatever header comes with it
            viewing.prepare([patient])
            viewing.looked([patient], shown=SHOWN, by=staff, at=now)
        if not may(staff, May.HANDLE_SESSIONS):
            return {"steps": story(obj)}
        is_free = handling.is_free(obj, by=staff, at=now)
        return {
            "steps": story(obj),
            "is_postponed": handling.is_postponed(obj, at=now),
            "is_free": is_free,
            "is_mine": is_free and obj.taken_by == staff.pk,
            "is_anothers": handling.is_unsettled(obj) and not is_free,
            "closed_with": [(one.value, one.label) for one in handling.CLOSED_WITH],
        }
