"""The trail: its list, and one event with its proof."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from hospital.admin import GrantedAdmin
from hospital.audit import inclusion, searching, trail
from hospital.audit.actions import Action
from hospital.audit.admin import people, status, words
from hospital.audit.admin.query import SPANS, Query
from hospital.audit.admin.telling import told
from hospital.audit.inclusion import Inclusion, State
from hospital.audit.models import Event
from hospital.audit.reading import encoded
from hospital.audit.recording import record
from hospital.audit.searching import Page, Place, TooSlow
from hospital.audit.times import moment
from hospital.roles import May

SLOW = "查询超过 5 秒，已停止。请缩小时间范围，或加上行为人、对象等条件"
NOWHERE = "地址不完整，无法定位这一页，请重新查找"
BADGES = {
    State.PENDING: "authorized",
    State.UNSETTLED: "unrecognised",
    State.NOTARISED: "success",
    State.WITNESSED: "witnessed",
    State.BROKEN: "failed",
}


@dataclass(frozen=True)
class Row:
    """One line of the list."""

    event: Event
    at: str
    who: str
    who_url: str
    whom: str
    whom_url: str
    outcome: str
    index: int | None
    state: State

    @property
    def badge(self) -> str:
        return BADGES[self.state]


@admin.register(Event)
class EventAdmin(GrantedAdmin):
    """The trail, read-only. Whoever reads it is on record as well."""

    view = frozenset({May.READ_TRAIL})

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("standing/", wrap(self.standing_view), name="audit_event_standing"),
            path("<int:pk>/proof/", wrap(self.proof_view), name="audit_event_proof"),
            path("<int:pk>/line/", wrap(self.line_view), name="audit_event_line"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        query, now = Query(request.GET), timezone.now()
        page, rows, problem = Page([]), list[Row](), ""
        begin = {end: text for end in ("before", "after") if (text := request.GET.get(end))}
        places = {end: Place.parse(text) for end, text in begin.items()}
        if None in places.values():
            problem = NOWHERE
        elif query.is_valid():
            criteria = query.criteria(now)
            try:
                page = searching.page(criteria, **places)
                rows = _rows(page.events)
            except TooSlow:
                problem = SLOW
            except trail.NotConfigured as exc:
                problem = str(exc)
            _on_record(request, None, "audit_event_changelist", criteria.named, len(page.events))
        shown = {
            "title": "留痕",
            "query": query,
            "span": query.span_in_force() if query.is_valid() else "",
            "spans": [
                (days, label, _address(request, "since", "until", span=days))
                for days, label in SPANS
            ],
            "problem": problem,
            "rows": rows,
            "older": _address(request, before=str(page.older)) if page.older else "",
            "newer": _address(request, after=str(page.newer)) if page.newer else "",
        }
        return self._page(request, "change_list", {**shown, **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_view_permission(request) or request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        event = self.get_object(request, unquote(object_id))
        if event is None:
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
                request, self.opts, object_id
            )
            return gone
        _on_record(request, event, "audit_event_change", [], 1)
        found = _included(event)
        facts, faults = told(event)
        shown = {
            "title": f"留痕 {event.uid}",
            "original": event,
            "sections": facts,
            "found": found,
            "badge": BADGES[State.BROKEN if faults else found.state],
            "state": (State.BROKEN if faults else found.state).value,
            "faults": [*faults, *found.faults],
        }
        return self._page(request, "change_form", {**shown, **(extra_context or {})})

    def proof_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give out the proof as a text of https://c2sp.org/tlog-proof."""
        event = self._wanted(request, pk)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        proof = _included(event).proof
        if proof is None:
            raise Http404
        _on_record(request, event, "audit_event_proof", [], 1)
        return _file(str(proof).encode(), f"{proof.index}.tlog-proof")

    def line_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give out the canonical line: the bytes that were hashed."""
        event = self._wanted(request, pk)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        _on_record(request, event, "audit_event_line", [], 1)
        return _file(encoded(event.payload), f"{event.uid}.json")

    def standing_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request, "standing", status.shown(at=timezone.now()))

    def _wanted(self, request: HttpRequest, pk: int) -> Event:
        if not self.has_view_permission(request):
            raise PermissionDenied
        event = Event.objects.filter(pk=pk).first()
        if event is None:
            raise Http404
        return event

    def _page(self, request: HttpRequest, name: str, shown: dict[str, Any]) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **shown}
        return TemplateResponse(request, f"admin/audit/event/{name}.html", context)


def _included(event: Event) -> Inclusion:
    try:
        return inclusion.inclusion(event)
    except trail.NotConfigured as exc:
        return Inclusion(State.UNSETTLED, faults=(str(exc),))


def _on_record(
    request: HttpRequest, event: Event | None, route: str, filters: list[str], count: int
) -> None:
    """Record who is shown how much of the trail, before anything is rendered."""
    with transaction.atomic():
        record(
            Action.TRAIL_READ,
            by=request.user,  # type: ignore[arg-type]
            on=event,
            at=timezone.now(),
            route=route,
            filters=filters,
            count=count,
        )


def _address(request: HttpRequest, *without: str, **changes: str) -> str:
    """Return this list's address, elsewhere in it."""
    asked = request.GET.copy()
    for name in {"before", "after", *without} & asked.keys():
        del asked[name]
    for name, value in changes.items():
        asked[name] = value
    return f"?{asked.urlencode()}"


def _rows(events: list[Event]) -> list[Row]:
    known = people.names(event.actor_id for event in events if event.actor_type == "staff")
    vouched = inclusion.states(events)
    return [_row(event, known, vouched.get(event.pk)) for event in events]


def _row(event: Event, known: dict[str, str], vouched: tuple[int, State] | None) -> Row:
    index, state = vouched or (None, State.PENDING)
    actor = event.actor_id or ""
    kind = words.ACTORS.get(event.actor_type, event.actor_type or "")
    things = {"object_type": event.object_type or "", "object_id": event.object_id or ""}
    return Row(
        event=event,
        at=_clock(event),
        who=known.get(actor) or f"{kind} {actor[-8:]}".strip() or "—",
        who_url=f"?{urlencode({'actor': actor})}" if people.as_id(actor) else "",
        whom=f"{words.kind_of_thing(things['object_type'])} {things['object_id'][-8:]}".strip(),
        whom_url=f"?{urlencode(things)}" if things["object_id"] else "",
        outcome=words.OUTCOMES.get(event.outcome, event.outcome or "已遮盖"),
        index=index,
        state=state,
    )


def _clock(event: Event) -> str:
    if event.at_us is None:
        return "—"
    return timezone.localtime(moment(event.at_us)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _file(content: bytes, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type="application/octet-stream")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
