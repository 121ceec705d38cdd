"""The weekly analysis: a table of the week, and who has read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html

from hospital import roles
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.audit import analysis, disposition
from hospital.audit.admin import findings, people, words
from hospital.audit.findings import Finding, Review
from hospital.audit.stated import number
from hospital.roles import May

NOTED = {
    "new_terminals": "激活、接替的终端",
    "exports": "申请导出",
    "downloads": "下载导出",
    "login_failures": "登录失败",
    "role_changes": "分配角色",
    "findings": "审计发现",
}


class Conclusion(forms.Form):
    conclusion = forms.CharField(
        label="结论",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；写进留痕，不要写患者信息",
    )


@dataclass(frozen=True)
class Count:
    """One line of a table: this week beside the week before."""

    name: str
    now: int
    before: int

    @property
    def change(self) -> str:
        if not self.before:
            return "—" if not self.now else "新出现"
        percent = round((self.now - self.before) * 100 / self.before)
        return "持平" if not percent else f"{percent:+d}%"


@admin.register(Review)
class ReviewAdmin(GrantedAdmin):
    """Made by itself; signed by the auditor, once."""

    view = frozenset({May.READ_TRAIL})
    list_display = ("period", "total", "found", "read", "reviewed_at")
    fields = readonly_fields = ("period", "made_at", "read", "conclusion", "who", "reviewed_at")
    change_form_template = "admin/audit/review/change_form.html"

    def get_urls(self) -> list[URLPattern]:
        sign = self.admin_site.admin_view(self.sign_view)
        return [path("<int:pk>/sign/", sign, name="audit_review_sign"), *super().get_urls()]

    @admin.display(description="周", ordering="week")
    def period(self, review: Review) -> str:
        return f"{review.week:%Y-%m-%d} 至 {review.week + timedelta(days=6):%Y-%m-%d}"

    @admin.display(description="留痕")
    def total(self, review: Review) -> str:
        return f"{_week(review, 'this').get('total', 0):,} 条"

    @admin.display(description="审计发现")
    def found(self, review: Review) -> str:
        return f"{_week(review, 'this').get('findings', 0):,} 项"

    @admin.display(description="审阅")
    def read(self, review: Review) -> str:
        badge, word = ("success", "已审阅") if review.reviewed_at else ("declined", "待审阅")
        return format_html('<span class="badge badge-{}">{}</span>', badge, word)

    @admin.display(description="审阅人")
    def who(self, review: Review) -> str:
        return people.names([review.reviewed_by]).get(str(review.reviewed_by), "—")

    def shown(self, request: HttpRequest, obj: Review) -> dict[str, Any]:
        return {
            "heading": self.period(obj),
            "tables": tables(obj),
            "denials": denials(obj),
            "found": found(obj),
            "may_sign": roles.may(request.user, May.SETTLE_FINDINGS),
            "conclusion": Conclusion(label_suffix=""),
        }

    def sign_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        demand(request, May.SETTLE_FINDINGS)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        review, form = get_object_or_404(Review, pk=pk), Conclusion(request.POST, label_suffix="")
        if not form.is_valid():
            # As a page that is only looked at: Django's own form has nothing to save.
            request.method = "GET"
            return self.change_view(request, str(pk), extra_context={"conclusion": form})
        with refusals_told(request):
            disposition.sign(
                review,
                conclusion=form.cleaned_data["conclusion"],
                by=request.user,  # type: ignore[arg-type]
                at=timezone.now(),
            )
            messages.success(request, f"已审阅：{self.period(review)}")
        return redirect("admin:audit_review_changelist")


def tables(review: Review) -> list[tuple[str, list[Count], int]]:
    """Return the week's tables: title, lines, and the largest number in it."""
    now, before = _week(review, "this"), _week(review, "before")
    noted = {what: label for what, label in NOTED.items() if what in now}
    overall = {"total": "全部留痕", "staff": "人员的操作", "off_hours": "其中夜间（22 点至 6 点）"}
    made = [
        ("总览", _named(overall, now, before)),
        ("值得注意", _named(noted, now, before)),
        ("按结果", _counted("outcomes", now, before, words.OUTCOMES)),
        ("按行为人", _counted("actors", now, before, words.ACTORS)),
        ("核验", _counted("verified", now, before, {"success": "完好", "failed": "有异常"})),
        ("按行为", _counted("actions", now, before, None)),
    ]
    return [
        (title, lines, max([1, *(max(one.now, one.before) for one in lines)]))
        for title, lines in made
        if lines
    ]


def denials(review: Review) -> list[tuple[str, str, int]]:
    """Return who was turned away most, from what, how often."""
    rows = _week(review, "this").get("denials", [])
    known = people.names(row.get("actor_id") for row in rows)
    return [
        (
            known.get(
                row["actor_id"],
                f"{words.ACTORS.get(row['actor_type'], '')} {row['actor_id'][-8:]}".strip(),
            ),
            words.action(row["action"]),
            number(row["count"]),
        )
        for row in rows
    ]


def found(review: Review) -> list[tuple[Finding, str]]:
    """Return the week's findings, each with its title."""
    start, end = analysis.span(review.week)
    rows = Finding.objects.filter(at__gte=start, at__lt=end).order_by("id")
    return [(finding, findings.title(finding)) for finding in rows]


def _week(review: Review, which: str) -> dict[str, Any]:
    week = review.counts.get(which, {})
    return week if isinstance(week, dict) else {}


def _named(
    labels: Mapping[str, str], now: Mapping[str, Any], before: Mapping[str, Any]
) -> list[Count]:
    return [
        Count(label, number(now.get(what)), number(before.get(what)))
        for what, label in labels.items()
    ]


def _counted(
    what: str, now: Mapping[str, Any], before: Mapping[str, Any], labels: Mapping[str, str] | None
) -> list[Count]:
    this, last = now.get(what, {}), before.get(what, {})
    lines = [
        Count(
            labels.get(one, one) if labels else words.action(one),
            this.get(one, 0),
            last.get(one, 0),
        )
        for one in this.keys() | last.keys()
    ]
    return sorted(lines, key=lambda line: (-line.now, -line.before, line.name))
