"""影响评估: what the privacy officer registers before anybody is asked for their face."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.html import format_html

from faceauth.models import Notice
from hospital import stepup
from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin, demand, refusals_told
from hospital.audit.admin import people
from hospital.privacy import assessing
from hospital.privacy.models import Assessment
from hospital.roles import May

_YEAR: Final = timedelta(days=365)


class Register(forms.Form):
    """Of which report, on which notice, until when."""

    reference = forms.CharField(label="报告文号", max_length=64)
    digest = forms.RegexField(
        r"^[0-9a-fA-F]{64}\Z",
        label="报告文件的 SHA-256",
        help_text="64 位十六进制；用来证明以后出示的报告就是这一份",
    )
    notice = forms.ModelChoiceField(
        Notice.objects.order_by("-version"),
        label="评估所依据的告知书",
        help_text="评估只对这一版告知书的处理目的有效；生效前的草稿也可以先评估",
    )
    review_on = forms.DateField(
        label="复评日期",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="最长十二个月；过了这一天没有新的评估，终端停止刷脸",
    )


class Ending(forms.Form):
    code = forms.ChoiceField(
        label="原因",
        choices=[
            ("incident", "发生重大安全事件，须重新评估"),
            ("changed", "处理目的、方式或接收方改变"),
            ("withdrawn", "其他原因停止使用"),
        ],
        widget=forms.RadioSelect,
    )


@admin.register(Assessment)
class AssessmentAdmin(GrantedAdmin):
    view = frozenset({May.MANAGE_ASSESSMENTS})
    list_display = ("reference", "standing", "notice_version", "approved_at", "review_on")
    fields = readonly_fields = (
        "reference",
        "standing",
        "digest",
        "notice_version",
        "assessed",
        "approver",
        "approved_at",
        "review_on",
        "ended_at",
    )
    change_form_template = "admin/privacy/assessment/change_form.html"
    change_list_template = "admin/privacy/assessment/change_list.html"

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("register/", self.register_view, "register"),
            self.at("<uuid:pk>/ending/", self.end_view, "end"),
            *super().get_urls(),
        ]

    @admin.display(description="状态")
    def standing(self, assessment: Assessment) -> str:
        now = timezone.now()
        if assessment.ended_at is not None:
            badge, word = "expired", "已失效"
        elif assessment.review_on < timezone.localdate(now):
            badge, word = "failed", "已过复评日期"
        elif assessing.to_review(at=now).filter(pk=assessment.pk).exists():
            badge, word = "guardian_required", "即将到期"
        else:
            badge, word = "success", "有效"
        return format_html('<span class="badge badge-{}">{}</span>', badge, word)

    @admin.display(description="评估的处理目的")
    def assessed(self, assessment: Assessment) -> str:
        return "；".join(purpose["label"] for purpose in assessment.purposes)

    @admin.display(description="批准人")
    def approver(self, assessment: Assessment) -> str:
        person = assessment.approved_by
        return people.names([person]).get(str(person), "系统（演示）")

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may = {"may_register": staff_of(request).may(May.MANAGE_ASSESSMENTS)}
        return super().changelist_view(request, {**may, **(extra_context or {})})

    def shown(self, request: HttpRequest, obj: Assessment) -> dict[str, Any]:
        notice = Notice.objects.in_force(timezone.now())
        stands = obj.ended_at is None
        return {
            "heading": f"影响评估 {obj.reference}",
            "may_end": stands,
            "uncarried": stands and notice and not assessing.carries(obj, notice.purposes),
        }

    def register_view(self, request: HttpRequest) -> HttpResponseBase:
        demand(request, May.MANAGE_ASSESSMENTS)
        return self._registered(request)

    @stepup.fresh
    def _registered(self, request: HttpRequest) -> HttpResponse:
        initial = {
            "notice": Notice.objects.in_force(timezone.now()),
            "review_on": timezone.localdate() + _YEAR,
        }
        form = Register(request.POST or None, initial=initial, label_suffix="")
        if request.method == "POST" and form.is_valid():
            given, notice = form.cleaned_data, form.cleaned_data["notice"]
            with refusals_told(request):
                made = assessing.approve(
                    given["reference"],
                    digest=given["digest"].lower(),
                    notice_version=notice.version,
                    purposes=notice.purposes,
                    review_on=given["review_on"],
                    by=staff_of(request),
                    at=timezone.now(),
                )
                messages.success(request, f"已登记并生效：{made}")
                return redirect("admin:privacy_assessment_change", made.pk)
        return self._page(request, "register", "登记影响评估", form=form)

    def end_view(self, request: HttpRequest, pk: UUID) -> HttpResponseBase:
        demand(request, May.MANAGE_ASSESSMENTS)
        return self._ended(request, get_object_or_404(Assessment, pk=pk))

    @stepup.fresh
    def _ended(self, request: HttpRequest, assessment: Assessment) -> HttpResponse:
        form = Ending(request.POST or None, label_suffix="")
        if request.method == "POST" and form.is_valid():
            with refusals_told(request):
                code = form.cleaned_data["code"]
                assessing.end(assessment, code, by=staff_of(request), at=timezone.now())
                messages.success(request, f"已停止使用：{assessment}，终端不再刷脸")
            return redirect("admin:privacy_assessment_change", assessment.pk)
        return self._page(request, "ending", "停止使用影响评估", assessment=assessment, form=form)

    def _page(self, request: HttpRequest, name: str, title: str, **context: Any) -> HttpResponse:
        shown = {**self.admin_site.each_context(request), "title": title, **context}
        return TemplateResponse(request, f"admin/privacy/assessment/{name}.html", shown)
