"""Copies of the trail: an auditor asks and fetches, the security administrator knows."""

from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBadRequest,
    HttpResponseBase,
    HttpResponseNotAllowed,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html

from hospital import roles
from hospital.admin import GrantedAdmin, demand
from hospital.audit import tasks
from hospital.audit.admin import people, words
from hospital.audit.admin.asking import Asking
from hospital.audit.exporting import making, requests
from hospital.audit.exporting.selecting import Range
from hospital.audit.exports import Export
from hospital.errors import Refusal
from hospital.roles import May
from hospital.stepup import fresh

SEEN_AT_ONCE: Final = 500
State = Export.State
BADGES: Final = {
    State.QUEUED: "authorized",
    State.RUNNING: "authorized",
    State.READY: "success",
    State.TAKEN: "success",
    State.EXPIRED: "expired",
    State.FAILED: "failed",
}
PROVES: Final = {
    Export.Kind.RANGE: "能证明：区间内每一条都在，一条不少，次序与封存时相同",
    Export.Kind.FILTERED: "只证明：每一条都在留痕之中；不能证明没有遗漏",
}
CONDITIONS: Final = {
    "begin": "从",
    "end": "至",
    "action": "行为",
    "actor": "行为人",
    "object_type": "对象类型",
    "object_id": "对象",
    "outcome": "结果",
    "request": "请求编号",
}


@admin.register(Export)
class ExportAdmin(GrantedAdmin):
    view = frozenset({May.EXPORT_TRAIL, May.SEE_EXPORTS})
    add = May.EXPORT_TRAIL
    list_display = ("asked", "what", "purpose", "standing", "bar", "who", "known")
    list_filter = ("state", "kind", "purpose")
    list_display_links = ("asked",)
    fields = readonly_fields = (
        "what",
        "scope",
        "purpose",
        "reason",
        "who",
        "asked",
        "amount",
        "length",
        "sha256",
        "sm3",
        "ready_at",
        "expires_at",
        "taken_at",
        "known",
    )

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("seen/", wrap(self.seen_view), name="audit_export_seen"),
            path("<uuid:pk>/download/", wrap(self.download_view), name="audit_export_download"),
            *super().get_urls(),
        ]

    @admin.display(description="申请时间", ordering="id")
    def asked(self, export: Export) -> str:
        return f"{timezone.localtime(export.requested_at):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="类型")
    def what(self, export: Export) -> str:
        return export.get_kind_display()

    @admin.display(description="状态", ordering="state")
    def standing(self, export: Export) -> str:
        badge, state = BADGES[State(export.state)], export.get_state_display()
        return format_html('<span class="badge badge-{}">{}</span>', badge, state)

    @admin.display(description="进度")
    def bar(self, export: Export) -> str:
        share = percent(export)
        return format_html(
            '<progress class="job" max="100" value="{}" aria-label="进度">{}%</progress>',
            share,
            share,
        )

    @admin.display(description="申请人")
    def who(self, export: Export) -> str:
        if export.requested_by == requests.OPERATOR:
            return "命令行"
        return people.names([export.requested_by]).get(str(export.requested_by), "—")

    @admin.display(description="安全管理员")
    def known(self, export: Export) -> str:
        return (
            f"已阅 {timezone.localtime(export.seen_at):%m-%d %H:%M}" if export.seen_at else "未阅"
        )

    @admin.display(description="范围")
    def scope(self, export: Export) -> str:
        if export.start is not None and export.end is not None:
            return f"序号 {export.start} 至 {export.end - 1}"
        return "；".join(
            f"{CONDITIONS.get(name, name)}：{_shown(name, value)}"
            for name, value in export.filters.items()
        )

    @admin.display(description="记录数")
    def amount(self, export: Export) -> str:
        return f"{export.rows:,} 条" if export.ready_at else "—"

    @admin.display(description="文件大小")
    def length(self, export: Export) -> str:
        return f"{export.size:,} 字节" if export.ready_at else "—"

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        knows = roles.may(request.user, May.SEE_EXPORTS)
        unseen = requests.unseen().order_by("pk")[:SEEN_AT_ONCE] if knows else []
        steps = [f"{one.pk}:{requests.step(one)}" for one in unseen]
        return super().changelist_view(request, {"unseen": steps, **(extra_context or {})})

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._ask(request)  # type: ignore[return-value]

    def shown(self, request: HttpRequest, obj: Export) -> dict[str, Any]:
        return {
            "badge": BADGES[State(obj.state)],
            "percent": percent(obj),
            "proves": PROVES[Export.Kind(obj.kind)],
            "problem": making.PROBLEMS.get(obj.problem, obj.problem),
            "is_live": obj.state in {State.QUEUED, State.RUNNING},
            "is_mine": _is_theirs(obj, request),
        }

    def download_view(self, request: HttpRequest, pk: Any) -> HttpResponseBase:
        """Hand out a file to who asked for it."""
        export = get_object_or_404(Export, pk=pk)
        if not _is_theirs(export, request):
            raise PermissionDenied
        if request.method != "POST":  # back from the page that asked who is there
            return redirect("admin:audit_export_change", pk)
        return self._hand_out(request, export)

    def seen_view(self, request: HttpRequest) -> HttpResponse:
        demand(request, May.SEE_EXPORTS)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        try:
            shown = {UUID(pk): step for pk, step in map(_halves, request.POST.getlist("shown"))}
        except ValueError:
            return HttpResponseBadRequest()
        if not shown:
            return HttpResponseBadRequest()
        count = requests.see(by=request.user, at=timezone.now(), shown=shown)  # type: ignore[arg-type]
        messages.success(request, f"已阅 {count} 次留痕导出")
        return redirect("admin:audit_export_changelist")

    @fresh
    def _ask(self, request: HttpRequest, /) -> HttpResponse:
        form = Asking(request.POST if request.method == "POST" else None)
        if form.is_valid() and form.selection and "ask" in request.POST:
            try:
                export = requests.request(
                    form.selection,
                    purpose=form.cleaned_data["purpose"],
                    reason=form.cleaned_data["reason"],
                    by=request.user,  # type: ignore[arg-type]
                    requested_by=request.user.pk,  # type: ignore[arg-type]
                    at=timezone.now(),
                )
            except Refusal as exc:
                form.add_error(None, str(exc))
            else:
                _enqueue(export)
                messages.success(request, "已申请，正在生成；生成后 24 小时内可下载一次")
                return redirect("admin:audit_export_change", export.pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "form": form,
            "estimate": _estimate(form),
        }
        return TemplateResponse(request, "admin/audit/export/ask.html", context)

    @fresh
    def _hand_out(self, request: HttpRequest, export: Export, /) -> HttpResponseBase:
        try:
            copy = requests.take(export, by=request.user, clock=timezone.now)  # type: ignore[arg-type]
        except Refusal as exc:
            messages.error(request, str(exc))
            return redirect("admin:audit_export_change", export.pk)
        response = StreamingHttpResponse(copy, content_type="application/zip")
        response["Content-Length"] = copy.size
        response["Content-Disposition"] = f'attachment; filename="trail-{export.pk}.zip"'
        response["Cache-Control"] = "no-store"
        return response


def _halves(text: str) -> tuple[str, str]:
    pk, _, step = text.partition(":")
    return pk, step


def _enqueue(export: Export) -> None:
    def wake() -> None:
        tasks.export.delay(export_id=str(export.pk))

    # robust: without a broker the sweep finds the request, and the answer stands
    transaction.on_commit(wake, robust=True)


def percent(export: Export) -> int:
    if export.ready_at:
        return 100
    return min(99, 100 * export.done // export.total) if export.total else 0


def _is_theirs(export: Export, request: HttpRequest) -> bool:
    return roles.may(request.user, May.EXPORT_TRAIL) and export.requested_by == request.user.pk


def _estimate(form: Asking) -> str:
    if not form.is_bound or not form.selection:
        return ""
    if isinstance(form.selection, Range):
        first, end = form.selection.start, form.selection.end
        return f"序号 {first} 至 {end - 1}，共 {end - first:,} 条"
    return "条数在生成时统计"


def _shown(name: str, value: str) -> str:
    if name == "action":
        return words.action(value)
    if name == "outcome":
        return words.OUTCOMES.get(value, value)
    if name == "object_type":
        return words.kind_of_thing(value)
    if name == "actor":
        return people.names([value]).get(value, value)
    return value
