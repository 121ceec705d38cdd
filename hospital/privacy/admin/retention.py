"""保存期限 and 到期清理: how long everything is kept, and what went for it."""

from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html

from hospital import retention, stepup, terms
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.categories import BY_KEY, CATEGORIES, Category, Clock
from hospital.paging import Keyset
from hospital.privacy import progress, rules, sweeping
from hospital.privacy.models import RetentionRule, RetentionRun
from hospital.roles import May

_MOST: Final = 2**31 - 1  # what a form takes at all; what is beyond a line is for the record
_DECIDES: Final = {
    Clock.ARTEFACT: "个保负责人",
    Clock.PERSONAL: "个保负责人",
    Clock.EVIDENCE: "审计管理员",
}
_BADGES: Final = {
    RetentionRun.State.RUNNING: "authorized",
    RetentionRun.State.DONE: "success",
    RetentionRun.State.FAILED: "failed",
}


@dataclass(frozen=True)
class Line:
    """One category as the page shows it."""

    category: Category
    value: int
    decides: str
    is_forced: bool

    @property
    def period(self) -> str:
        return terms.in_words(self.value, self.category.unit)

    @property
    def is_fixed(self) -> bool:
        return self.category.least == self.category.most


class Period(forms.Form):
    value = forms.IntegerField(label="新的保存期限", min_value=0, max_value=_MOST)
    note = forms.CharField(
        label="理由",
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="必填，200 字以内；写进留痕，不要写患者信息",
    )

    def __init__(self, *args: Any, category: Category, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        default = f"默认 {category.default} {category.unit}"
        self.fields["value"].help_text = f"可设为 {category.line}，{default}"
        self.fields["value"].widget.attrs["autofocus"] = True


@admin.register(RetentionRule)
class RetentionRuleAdmin(GrantedAdmin):
    """Whoever answers for it reads all of it; one asks for another period, another decides."""

    view = frozenset({May.VIEW_RETENTION, May.SET_RETENTION})

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("", self.schedule_view, "changelist"),
            self.at("add/", self.add_view, "add"),
            self.at("<slug:category>/delete/", self.removal_view, "delete"),
            self.at("<slug:category>/", self.asking_view, "change"),
        ]

    def schedule_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            demand(request, May.VIEW_RETENTION)
        context = {"lines": _lines(), "may_set": staff_of(request).may(May.SET_RETENTION)}
        return self._page(request, "change_list", "保存期限", context)

    def removal_view(self, request: HttpRequest, category: str) -> HttpResponse:
        """Refuse it, as everywhere, on record."""
        return self.delete_view(request, category)

    def asking_view(self, request: HttpRequest, category: str) -> HttpResponseBase:
        """Ask for another period; who may not looks at the whole schedule."""
        demand(request, May.SET_RETENTION)
        if category not in BY_KEY:
            raise Http404
        return self._asked(request, BY_KEY[category])

    @stepup.fresh
    def _asked(self, request: HttpRequest, category: Category) -> HttpResponse:
        form = Period(request.POST or None, category=category, label_suffix="")
        if request.method == "POST" and form.is_valid():
            with refusals_told(request):
                asked = rules.ask(
                    category.key,
                    form.cleaned_data["value"],
                    reason=form.cleaned_data["note"],
                    by=staff_of(request),
                    at=timezone.now(),
                )
                messages.success(request, "申请已提交，请另一人批准")
                return redirect("admin:audit_proposal_change", asked.pk)
        context = {"form": form, "line": _line(category, retention.forced())}
        return self._page(request, "change_form", category.label, context)

    def _page(
        self, request: HttpRequest, name: str, heading: str, context: dict[str, Any]
    ) -> HttpResponse:
        template = f"admin/privacy/retentionrule/{name}.html"
        every = {**self.admin_site.each_context(request), "heading": heading, "title": heading}
        return TemplateResponse(request, template, {**every, **context})


@admin.register(RetentionRun)
class RetentionRunAdmin(GrantedAdmin):
    """What each sweep took; a dry one anybody who reads this may have made."""

    view = frozenset({May.VIEW_RETENTION})
    list_display = ("started", "kind", "standing", "bar", "taken")
    list_display_links = ("started",)
    list_filter = ("is_dry", "state")
    sortable_by = ()
    fields = readonly_fields = ("kind", "standing", "started_at", "finished_at")
    change_form_template = "admin/privacy/retentionrun/change_form.html"
    change_list_template = "admin/privacy/retentionrun/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        rehearsal = self.admin_site.admin_view(self.rehearsal_view)
        return [
            path("rehearsal/", rehearsal, name="privacy_retentionrun_rehearsal"),
            *super().get_urls(),
        ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Keyset]:
        return Keyset

    @admin.display(description="开始时间")
    def started(self, run: RetentionRun) -> str:
        return f"{timezone.localtime(run.started_at):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="类型")
    def kind(self, run: RetentionRun) -> str:
        return "试运行" if run.is_dry else f"清理（{run.get_scope_display()}）"

    @admin.display(description="状态")
    def standing(self, run: RetentionRun) -> str:
        badge = _BADGES[RetentionRun.State(run.state)]
        return format_html('<span class="badge badge-{}">{}</span>', badge, run.get_state_display())

    @admin.display(description="进度")
    def bar(self, run: RetentionRun) -> str:
        done = progress.percent(run)
        return format_html(
            '<progress class="job" max="100" value="{}" aria-label="进度">{}%</progress>',
            done,
            done,
        )

    @admin.display(description="数量")
    def taken(self, run: RetentionRun) -> str:
        name = "due" if run.is_dry else "gone"
        return f"{sum(one[name] for one in run.counts.values()):,}"

    def shown(self, request: HttpRequest, obj: RetentionRun) -> dict[str, Any]:
        return {"lines": progress.lines(obj), "percent": progress.percent(obj)}

    def rehearsal_view(self, request: HttpRequest) -> HttpResponse:
        demand(request, May.VIEW_RETENTION)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        run = sweeping.rehearse(at=timezone.now())
        messages.success(request, "试运行已完成，没有改动任何数据")
        return redirect("admin:privacy_retentionrun_change", run.pk)


def _lines() -> list[Line]:
    retention.forget()
    forced = retention.forced()
    return [_line(one, forced) for one in CATEGORIES]


def _line(category: Category, forced: dict[str, int]) -> Line:
    value = retention.value(category.key)
    return Line(category, value, _DECIDES[category.clock], category.key in forced)
