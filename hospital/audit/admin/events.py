import json
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from hospital.admin import GrantedAdmin
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.roles import May

OUTCOMES = {"success": "成功", "denied": "拒绝", "failed": "失败"}
ACTORS = {"staff": "人员", "terminal": "终端", "system": "系统", "unknown": "未知"}


class ActionFilter(admin.SimpleListFilter):
    title = "行为"
    parameter_name = "action"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return [(action.value.tag, action.value.label) for action in Action]

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(action=self.value()) if self.value() else queryset


class OutcomeFilter(admin.SimpleListFilter):
    title = "结果"
    parameter_name = "outcome"

    def lookups(self, _request: HttpRequest, _model_admin: Any) -> list[tuple[str, str]]:
        return list(OUTCOMES.items())

    def queryset(self, _request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(outcome=self.value()) if self.value() else queryset


EVENT_SHOWN = ("time", "what", "result", "who", "whom", "request_id", "uid", "line")


@admin.register(Event)
class EventAdmin(GrantedAdmin):
    """The trail, read-only. Columns are the database's reading of the canonical line."""

    view = frozenset({May.READ_TRAIL})
    list_display = ["time", "what", "result", "who", "whom", "request_id"]
    list_filter = [ActionFilter, OutcomeFilter]
    search_fields = ["=request_id", "=object_id", "=actor_id"]
    search_help_text = "请求编号、对象编号或行为人编号（完整）"
    fields = readonly_fields = EVENT_SHOWN

    @admin.display(description="时间", ordering="id")
    def time(self, event: Event) -> str:
        return timezone.localtime(event.at).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]

    @admin.display(description="行为")
    def what(self, event: Event) -> str:
        return event.label

    @admin.display(description="结果")
    def result(self, event: Event) -> str:
        shown = OUTCOMES.get(event.outcome, event.outcome)
        return format_html('<span class="badge badge-{}">{}</span>', event.outcome, shown)

    @admin.display(description="行为人")
    def who(self, event: Event) -> str:
        kind = ACTORS.get(event.actor_type, event.actor_type)
        return f"{kind} {event.actor_id[-8:]}".strip()

    @admin.display(description="对象")
    def whom(self, event: Event) -> str:
        return f"{_kind(event.object_type)} {event.object_id[-8:]}".strip() or "—"

    @admin.display(description="规范文本")
    def line(self, event: Event) -> str:
        pretty = json.dumps(json.loads(event.payload), ensure_ascii=False, indent=2)
        return format_html('<pre class="canonical">{}</pre>', pretty)


def _kind(label: str) -> str:
    """Return what staff call a kind of thing; one that no longer exists keeps its label."""
    try:
        return str(apps.get_model(label)._meta.verbose_name) if label else ""
    except LookupError:
        return label
