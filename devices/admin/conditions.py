"""Badges and a filter: which terminals need somebody to go there."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from devices import conditions
from devices.conditions import Condition
from devices.models import Terminal

NEWS = timedelta(days=7)  # so long a list says that another box took a terminal's place


class ConditionFilter(admin.SimpleListFilter):
    """Says beside each condition how many terminals are in it."""

    title = "状态"
    parameter_name = "condition"
    template = "admin/devices/terminal/conditions.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(one.value, str(one.label)) for one in Condition]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Terminal]) -> QuerySet[Terminal]:
        chosen = self.value()
        if chosen not in Condition.values:
            return queryset
        found = conditions.find(Condition(str(chosen)), at=timezone.now())
        return queryset.filter(pk__in=found.values("pk"))

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        now = timezone.now()
        counts = [Terminal.objects.count()]
        counts += [conditions.find(one, at=now).count() for one in Condition]
        for choice, count in zip(super().choices(changelist), counts, strict=True):
            yield {**choice, "count": count}


def badges(terminal: Terminal, *, at: datetime) -> SafeString:
    """Return a badge for each condition, and one while a replacement is news."""
    found = [(one.value, str(one.label)) for one in conditions.of(terminal, at=at)]
    if terminal.replaced_at and at - terminal.replaced_at < NEWS:
        found.append(("replaced", "已被新设备接替"))
    return format_html_join(" ", '<span class="badge badge-{}">{}</span>', found)


def suspended(terminal: Terminal) -> str | SafeString:
    """Say who stopped it, when and why."""
    if not hasattr(terminal, "suspension"):
        return "—"
    one = terminal.suspension
    return format_html("{}，{}，{}", one.reason, one.by.display_name, moment(one.at))


def moment(at: datetime | None) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M") if at else "—"


def span(seconds: int | None) -> str:
    """Return a duration the way one says it."""
    if seconds is None:
        return "—"
    minutes = seconds // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} 天 {hours} 小时"
    return f"{hours} 小时 {minutes % 60} 分" if hours else f"{minutes} 分"
