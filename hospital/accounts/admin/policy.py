"""The security policy on one page: what holds, what it may be, and who decides on it."""

from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils import timezone

from hospital import policy, retention, stepup
from hospital.accounts import passwords, policies
from hospital.accounts.models import PolicyChoice, staff_of
from hospital.admin import GrantedAdmin, demand
from hospital.checks import MINIMUM_MONTHS
from hospital.errors import Refusal
from hospital.parameters import BY_KEY, PARAMETERS, Parameter
from hospital.roles import May

_MOST: Final = 2**31 - 1  # what a form takes at all; what is beyond a line is for the record


@dataclass(frozen=True)
class Line:
    """One parameter as the page shows it; `source` says who made it so."""

    parameter: Parameter
    value: int
    source: str
    is_forced: bool


@dataclass(frozen=True)
class Fixed:
    """What holds as well, and is nobody's to change here."""

    label: str
    value: str
    line: str
    clause: str


class Choice(forms.Form):
    value = forms.IntegerField(label="新的值", min_value=-_MOST, max_value=_MOST)
    was = forms.IntegerField(widget=forms.HiddenInput)
    reason = forms.CharField(
        label="原因",
        required=False,
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="可不填，200 字以内；写进留痕，不要写患者信息",
    )

    def __init__(self, *args: Any, parameter: Parameter, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["value"].help_text = f"可设为 {parameter.line}，默认 {parameter.default}"
        self.fields["value"].widget.attrs |= {
            "min": parameter.least,
            "max": parameter.most,
            "autofocus": True,
        }


@admin.register(PolicyChoice)
class PolicyAdmin(GrantedAdmin):
    """Whoever reads the policy reads all of it; one person's role sets it."""

    view = frozenset({May.READ_POLICY, May.SET_POLICY})

    def get_urls(self) -> list[URLPattern]:
        return [
            self.at("", self.policy_view, "changelist"),
            self.at("add/", self.add_view, "add"),
            self.at("<slug:key>/delete/", self.removal_view, "delete"),
            self.at("<slug:key>/", self.choice_view, "change"),
        ]

    def policy_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            demand(request, May.READ_POLICY)
        context = {
            "lines": _lines(),
            "fixed": _fixed(),
            "may_set": staff_of(request).may(May.SET_POLICY),
        }
        return self._page(request, "change_list", "安全策略", context)

    def removal_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Refuse it, as everywhere, on record."""
        return self.delete_view(request, key)

    def choice_view(self, request: HttpRequest, key: str) -> HttpResponseBase:
        """Let who has just shown that it is them set one parameter, and the others read it."""
        may_set = staff_of(request).may(May.SET_POLICY)
        if request.method != "GET" or not self.has_view_permission(request):
            demand(request, May.SET_POLICY)
        if key not in BY_KEY:
            raise Http404
        if may_set:
            return self._chosen(request, BY_KEY[key])
        policy.forget()
        return self._parameter(request, BY_KEY[key], form=None, now=policy.value(key))

    @stepup.fresh
    def _chosen(self, request: HttpRequest, parameter: Parameter) -> HttpResponse:
        policy.forget()
        now = policy.value(parameter.key)
        form = Choice(
            request.POST or None,
            initial={"value": now, "was": now},
            parameter=parameter,
            label_suffix="",
        )
        if request.method == "POST" and form.is_valid():
            try:
                policies.change(
                    parameter.key, **form.cleaned_data, by=staff_of(request), at=timezone.now()
                )
            except Refusal as exc:
                form.add_error("value", str(exc))
            else:
                messages.success(request, f"{parameter.label}：{policy.value(parameter.key)}")
                return redirect("admin:accounts_policychoice_changelist")
        return self._parameter(request, parameter, form=form, now=now)

    def _parameter(
        self, request: HttpRequest, parameter: Parameter, *, form: Choice | None, now: int
    ) -> HttpResponse:
        context = {"form": form, "parameter": parameter, "now": now}
        return self._page(request, "change_form", parameter.label, context)

    def _page(
        self, request: HttpRequest, name: str, heading: str, context: dict[str, Any]
    ) -> HttpResponse:
        template = f"admin/accounts/policychoice/{name}.html"
        every = {**self.admin_site.each_context(request), "heading": heading, "title": heading}
        return TemplateResponse(request, template, {**every, **context})


def _lines() -> list[Line]:
    policy.forget()
    chosen, forced = set(PolicyChoice.objects.values_list("key", flat=True)), policy.forced()
    return [
        Line(one, policy.value(one.key), _source(one, chosen - forced.keys()), one.key in forced)
        for one in PARAMETERS
    ]


def _source(parameter: Parameter, chosen: set[str]) -> str:
    if parameter.key in chosen:
        return "安全管理员"
    return "默认" if settings.POLICY[parameter.key] == parameter.default else "环境变量"


def _fixed() -> list[Fixed]:
    networks = "、".join(map(str, settings.ADMIN_NETWORKS)) or "未限定"
    codes = f"前后各 {settings.MFA_TOTP_TOLERANCE} 个"
    months = retention.trail_months()
    kept, least = f"{months} 个月", f"不少于 {MINIMUM_MONTHS} 个月"
    kinds = f"{passwords.CLASSES} 种"
    return [
        Fixed("密码字符种类", kinds, "大写、小写、数字、符号中至少 3 种", "8.1.4.1 a"),
        Fixed("首次登录修改密码", "必须", "不能关闭", "8.1.4.1 a"),
        Fixed("同一账号同时登录", "1 个", "新登录取代旧登录", "8.1.4.1 b"),
        Fixed("第二验证方式", "每个账号必须", "不能关闭", "8.1.4.1 d"),
        Fixed("动态码误差", codes, "一个动态码只能用一次", "8.1.4.1 d"),
        Fixed("留痕保存", kept, least, "8.1.4.3 c"),
        Fixed("管理端访问地址", networks, "三级必须限定", "8.1.4.4 c"),
        Fixed("导出患者", "不提供", "不能开启", "8.1.4.11"),
    ]
