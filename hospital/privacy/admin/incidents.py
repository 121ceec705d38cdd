"""安全事件: opened, classified, told, closed; and whose records it is about."""

from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.html import format_html

from hospital import stepup
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.audit.admin import people, words
from hospital.audit.facts import Shown
from hospital.paging import Keyset
from hospital.patients import documents, viewing
from hospital.patients.models import Patient
from hospital.privacy import tasks
from hospital.privacy.admin import incident_story
from hospital.privacy.admin.incident_forms import Asking, Classifying, Closing, Opening, Telling
from hospital.privacy.incidents import affected, classifying, notices, notifying, opening
from hospital.privacy.models import Incident, Inquiry, Notification
from hospital.roles import May

SIZE: Final = 50  # patients on a page
STATES: Final[dict[str, str]] = {
    Incident.State.OPEN: "failed",
    Incident.State.CLASSIFIED: "guardian_required",
    Incident.State.CLOSED: "success",
}


@admin.register(Incident)
class IncidentAdmin(GrantedAdmin):
    view = frozenset({May.MANAGE_INCIDENTS})
    list_display = ("number", "what", "grave", "standing", "found_at", "closed_at")
    list_filter = ("state", "is_drill")
    fields = readonly_fields = (
        "number",
        "what",
        "grave",
        "standing",
        "summary",
        "found_at",
        "since",
        "until",
        "people",
        "measures",
        "opener",
        "closed_at",
        "conclusion",
    )
    change_form_template = "admin/privacy/incident/change_form.html"
    change_list_template = "admin/privacy/incident/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("open/", self.open_view, "open"),
            self.at("<uuid:pk>/level/", self.classify_view, "classify"),
            self.at("<uuid:pk>/told/<slug:recipient>/", self.told_view, "told"),
            self.at("<uuid:pk>/paper/<slug:recipient>/", self.paper_view, "paper"),
            self.at("<uuid:pk>/affected/", self.affected_view, "affected"),
            self.at("<uuid:pk>/closing/", self.close_view, "close"),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Keyset]:
        return Keyset

    @admin.display(description="类型")
    def what(self, incident: Incident) -> str:
        kind = incident.get_kind_display()
        if not incident.is_drill:
            return kind
        return format_html('{} <span class="badge badge-{}">{}</span>', kind, "expired", "演练")

    @admin.display(description="级别")
    def grave(self, incident: Incident) -> str:
        return incident.get_level_display() or "待定级"

    @admin.display(description="状态")
    def standing(self, incident: Incident) -> str:
        badge, word = STATES[incident.state], incident.get_state_display()
        return format_html('<span class="badge badge-{}">{}</span>', badge, word)

    @admin.display(description="涉及人数")
    def people(self, incident: Incident) -> str:
        if incident.affected is not None:
            return f"{incident.affected:,} 人"
        is_asked = Inquiry.objects.filter(incident=incident).exists()
        return "正在查询" if is_asked else "尚未查询"

    @admin.display(description="登记人")
    def opener(self, incident: Incident) -> str:
        return people.names([incident.opened_by]).get(str(incident.opened_by), "—")

    def shown(self, request: HttpRequest, obj: Incident) -> dict[str, Any]:
        now = timezone.now()
        return {
            "heading": f"{'演练：' if obj.is_drill else ''}安全事件 {obj.number}",
            "clocks": incident_story.rows(obj, at=now),
            "ahead": incident_story.ahead(obj),
            "steps": incident_story.steps(obj),
            "is_open": obj.state != Incident.State.CLOSED,
            "suggested": _suggested(obj),
            "telling": Telling(label_suffix=""),
            "classifying": Classifying(
                initial={"level": obj.level, "measures": obj.measures}, label_suffix=""
            ),
        }

    def open_view(self, request: HttpRequest) -> HttpResponse:
        demand(request, May.MANAGE_INCIDENTS)
        form = Opening(request.POST or None, label_suffix="")
        if request.method == "POST" and form.is_valid():
            given = {**form.cleaned_data, "kind": Incident.Kind(form.cleaned_data["kind"])}
            with refusals_told(request):
                incident = opening.open_(**given, by=staff_of(request), at=timezone.now())
                messages.success(request, f"已登记 {incident}，时限从发现时间起算，请尽快定级")
                return redirect("admin:privacy_incident_change", incident.pk)
        return self._page(request, "open", "登记安全事件", form=form)

    def classify_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        demand(request, May.MANAGE_INCIDENTS)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        incident, form = _found(pk), Classifying(request.POST, label_suffix="")
        if not form.is_valid():
            # As a page that is only looked at: Django's own form has nothing to save.
            request.method = "GET"
            return self.change_view(request, str(pk), extra_context={"classifying": form})
        with refusals_told(request):
            classifying.classify(
                incident,
                Incident.Level(form.cleaned_data["level"]),
                measures=form.cleaned_data["measures"],
                by=staff_of(request),
                at=timezone.now(),
            )
            messages.success(request, f"已定级：{incident.get_level_display()}")
        return redirect("admin:privacy_incident_change", pk)

    def told_view(self, request: HttpRequest, pk: UUID, recipient: str) -> HttpResponse:
        demand(request, May.MANAGE_INCIDENTS)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        one = get_object_or_404(Notification, incident=pk, recipient=recipient)
        form = Telling(request.POST, label_suffix="")
        if not form.is_valid():
            messages.error(request, "回执编号最长 64 个字")
            return redirect("admin:privacy_incident_change", pk)
        with refusals_told(request):
            notifying.told(one, **form.cleaned_data, by=staff_of(request), at=timezone.now())
            messages.success(request, f"已登记：{one}")
        return redirect("admin:privacy_incident_change", pk)

    def paper_view(self, request: HttpRequest, pk: UUID, recipient: str) -> HttpResponse:
        demand(request, May.MANAGE_INCIDENTS)
        incident = _found(pk)
        if recipient not in Notification.Recipient.values:
            raise Http404
        paper = notices.paper(incident, recipient)
        return self._page(request, "paper", paper.title, incident=incident, paper=paper)

    def affected_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        demand(request, May.MANAGE_INCIDENTS)
        return self._affected(request, _found(pk))

    @stepup.fresh
    def _affected(self, request: HttpRequest, incident: Incident) -> HttpResponse:
        """Have the trail asked; whoever guards privacy is then shown whose records they are."""
        window = {"since": incident.since, "until": incident.until or timezone.now()}
        form = Asking(request.POST or None, initial=window, label_suffix="")
        if request.method == "POST" and form.is_valid():
            with refusals_told(request):
                asked = affected.ask(
                    incident, form.question, by=staff_of(request), at=timezone.now()
                )
                _enqueue(asked)
                messages.success(request, "已开始查询，完成后显示在本页，并记入事件")
                return redirect("admin:privacy_incident_affected", incident.pk)
        waiting = Inquiry.objects.filter(incident=incident, is_done=False).first()
        # A page that refreshes itself is nobody's look at patients.
        is_read = incident.affected and "X-Desk-Refresh" not in request.headers
        return self._page(
            request,
            "affected",
            "受影响的患者",
            incident=incident,
            form=form,
            waiting=waiting,
            percent=affected.percent(waiting) if waiting else 100,
            counts=_counts(incident),
            **(self._patients(request, incident) if is_read else {}),
        )

    def _patients(self, request: HttpRequest, incident: Incident) -> dict[str, Any]:
        me = staff_of(request)
        if not me.may(May.VIEW_PATIENTS):
            return {}
        try:
            after = UUID(request.GET["after"]) if "after" in request.GET else None
        except ValueError:
            raise Http404 from None
        found = affected.page(incident, after=after, size=SIZE + 1)
        listed = list(Patient.objects.seen_by(me).filter(pk__in=found[:SIZE]).order_by("pk"))
        viewing.looked(listed, shown={Shown.NUMBER_MASKED}, by=me, at=timezone.now())
        return {
            "patients": [(one.pk, documents.in_part(one.number)) for one in listed],
            "after": found[SIZE - 1] if len(found) > SIZE else None,
        }

    def close_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        demand(request, May.MANAGE_INCIDENTS)
        return self._closed(request, _found(pk))

    @stepup.fresh
    def _closed(self, request: HttpRequest, incident: Incident) -> HttpResponse:
        form = Closing(request.POST or None, label_suffix="")
        if request.method == "POST" and form.is_valid():
            with refusals_told(request):
                notifying.close(
                    incident, **form.cleaned_data, by=staff_of(request), at=timezone.now()
                )
                messages.success(request, f"已关闭：{incident}")
                return redirect("admin:privacy_incident_change", incident.pk)
        return self._page(request, "close", "关闭安全事件", incident=incident, form=form)

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> HttpResponse:
        shown = {**self.admin_site.each_context(request), "title": title, **context}
        return TemplateResponse(request, f"admin/privacy/incident/{name}.html", shown)


def _enqueue(asked: Inquiry) -> None:
    def wake() -> None:
        tasks.find_affected.delay(inquiry_id=str(asked.pk))

    # robust: without a broker the next minute finds the question, and the answer stands
    transaction.on_commit(wake, robust=True)


def _found(pk: UUID) -> Incident:
    return get_object_or_404(Incident, pk=pk)


def _suggested(incident: Incident) -> str:
    """Return the level that follows from the number of people; empty while nobody has asked."""
    return "" if incident.affected is None else classifying.suggested(incident.affected).label


def _counts(incident: Incident) -> list[tuple[str, int]]:
    counted = incident.found.order_by().values("action").annotate(count=Count("subject"))
    return [(words.action(one["action"]), one["count"]) for one in counted.order_by("-count")]
