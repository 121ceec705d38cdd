"""What the alarms found, and what the auditor makes of it."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import Case, When
from django.db.models.expressions import Combinable
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.audit import alarms, disposition, nightly
from hospital.audit.admin import people, words
from hospital.audit.findings import Finding
from hospital.audit.stated import number
from hospital.audit.times import moment
from hospital.roles import May

TITLES = alarms.TITLES | nightly.TITLES
SEVERITY_BADGES: dict[str, str] = {
    Finding.Severity.NOTICE: "authorized",
    Finding.Severity.WARNING: "guardian_required",
    Finding.Severity.ALERT: "failed",
}
STATE_BADGES: dict[str, str] = {
    Finding.State.OPEN: "declined",
    Finding.State.EXPLAINED: "success",
    Finding.State.HANDLED: "success",
    Finding.State.INCIDENT: "failed",
}
_MINUTE = timedelta(minutes=1)
_NAMES = {
    "seconds": "等待（秒）",
    "rows": "留痕编号",
    "kinds": "异常类型",
    "count": "次数",
    "action": "行为",
    "event": "留痕编号",
}


class Settlement(forms.Form):
    """What was found out, and in a sentence how."""

    state = forms.ChoiceField(
        label="结论",
        choices=[one for one in Finding.State.choices if one[0] != Finding.State.OPEN],
        widget=forms.RadioSelect,
    )
    note = forms.CharField(
        label="说明",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；写进留痕，不要写患者信息",
    )


@admin.register(Finding)
class FindingAdmin(GrantedAdmin):
    """Open ones first. Each is settled once."""

    view = frozenset({May.SETTLE_FINDINGS})
    list_display = ("what", "grave", "standing", "count", "at", "settled_at")
    list_filter = ("state", "severity")
    fields = readonly_fields = ("what", "grave", "at", "standing", "note", "who", "settled_at")
    change_form_template = "admin/audit/finding/change_form.html"

    def get_ordering(self, request: HttpRequest) -> list[str | Combinable]:
        return [Case(When(state=Finding.State.OPEN, then=0), default=1), "-id"]

    def get_urls(self) -> list[URLPattern]:
        settle = self.admin_site.admin_view(self.settle_view)
        return [
            path("<uuid:pk>/settle/", settle, name="audit_finding_settle"),
            *super().get_urls(),
        ]

    @admin.display(description="发现")
    def what(self, finding: Finding) -> str:
        return title(finding)

    @admin.display(description="级别")
    def grave(self, finding: Finding) -> str:
        return _badge(SEVERITY_BADGES.get(finding.severity, ""), finding.get_severity_display())

    @admin.display(description="处置")
    def standing(self, finding: Finding) -> str:
        return _badge(STATE_BADGES.get(finding.state, ""), finding.get_state_display())

    @admin.display(description="次数")
    def count(self, finding: Finding) -> str:
        return f"{number(finding.facts.get('count')):,}"

    @admin.display(description="处置人")
    def who(self, finding: Finding) -> str:
        return people.names([finding.settled_by]).get(str(finding.settled_by), "—")

    def shown(self, request: HttpRequest, obj: Finding) -> dict[str, Any]:
        return {
            "heading": title(obj),
            "told": told(obj, at=timezone.now()),
            "events_url": events_url(obj),
            "settlement": Settlement(label_suffix=""),
        }

    def settle_view(self, request: HttpRequest, pk: Any) -> HttpResponse:
        demand(request, May.SETTLE_FINDINGS)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        finding, form = get_object_or_404(Finding, pk=pk), Settlement(request.POST, label_suffix="")
        if not form.is_valid():
            # As a page that is only looked at: Django's own form has nothing to save.
            request.method = "GET"
            return self.change_view(request, str(pk), extra_context={"settlement": form})
        with refusals_told(request):
            disposition.settle(
                finding,
                state=Finding.State(form.cleaned_data["state"]),
                note=form.cleaned_data["note"],
                by=request.user,  # type: ignore[arg-type]
                at=timezone.now(),
            )
            messages.success(request, f"已处置：{title(finding)}")
        return redirect("admin:audit_finding_changelist")


def title(finding: Finding) -> str:
    return TITLES.get(finding.kind, finding.kind)


def told(finding: Finding, *, at: datetime) -> list[tuple[str, str]]:
    """Return the facts of a finding in words; of an open one, what it has become by now."""
    facts, shown = dict(finding.facts), []
    if now := alarms.growth(finding, at=at):
        facts |= {"count": now.count, "until": now.until}
    for name, label in _NAMES.items():
        if name in facts:
            shown.append(
                (label, words.action(facts[name]) if name == "action" else words.value(facts[name]))
            )
    if "code" in facts:
        shown.append(("原因代码", words.value(facts["code"])))
    if "kind" in facts:
        shown.append(("异常类型", words.value(facts["kind"])))
    if actor := facts.get("actor_id"):
        kind = words.ACTORS.get(facts.get("actor_type", ""), "")
        shown.append(("行为人", f"{kind} {people.names([actor]).get(actor, actor)}".strip()))
    if thing := facts.get("object_id"):
        kind = words.kind_of_thing(facts.get("object_type", ""))
        shown.append(("对象", f"{kind} {people.names([thing]).get(thing, thing)}".strip()))
    for name, label in (("since", "第一次"), ("until", "最近一次")):
        if name in facts:
            at = timezone.localtime(moment(number(facts[name])))
            shown.append((label, f"{at:%Y-%m-%d %H:%M:%S}"))
    return shown


def events_url(finding: Finding) -> str:
    """Return where the events behind a finding are; empty if there are none to show."""
    facts = finding.facts
    if "event" in facts:
        return reverse("admin:audit_event_change", args=[facts["event"]])
    if "since" not in facts:
        return ""
    ends = [timezone.localtime(moment(number(facts[end]))) for end in ("since", "until")]
    rules = (rule for rule in alarms.RULES if rule.kind == finding.kind)
    actions: frozenset[Any] = getattr(next(rules, None), "actions", frozenset())
    asked = {
        "since": f"{ends[0]:%Y-%m-%dT%H:%M}",
        # What still goes on has no end.
        "until": "" if finding.state == Finding.State.OPEN else f"{ends[1]:%Y-%m-%dT%H:%M}",
        "actor": facts.get("actor_id", ""),
        "object_type": facts.get("object_type", ""),
        "object_id": facts.get("object_id", ""),
    }
    if len(actions) == 1:
        asked["action"] = next(iter(actions)).value.tag
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"{reverse('admin:audit_event_changelist')}?{query}"


def _badge(badge: str, word: str) -> str:
    return format_html('<span class="badge badge-{}">{}</span>', badge, word)
