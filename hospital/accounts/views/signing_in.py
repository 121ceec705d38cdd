"""The pages of logging in: a password, then a second factor."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.forms import UsernameField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from hospital import stepup
from hospital.accounts import mfa, second_factor, signing_in
from hospital.accounts.models import Staff
from hospital.accounts.views import asking
from hospital.accounts.views.around import around

FEW_CODES = 3
WRONG = "验证没有通过，或者失败次数过多、暂时不能登录"  # one answer: which, nobody is told


class Password(forms.Form):
    username = UsernameField(
        label="工号", max_length=64, widget=forms.TextInput(attrs={"autofocus": True})
    )
    password = forms.CharField(
        label="密码",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )


@method_decorator(
    [never_cache, csrf_protect, sensitive_post_parameters("password")], name="dispatch"
)
class LogInView(View):
    """Asks for a password. Whatever is wrong with it or with the account, the answer is one."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated and second_factor.is_passed(request.session):
            return HttpResponseRedirect(stepup.onward(request))
        return self._page(request, Password())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = Password(request.POST)
        if not form.is_valid():
            return self._page(request, form)
        person = signing_in.recognise(request, **form.cleaned_data)
        if person is None:
            return self._page(request, form, is_wrong=True)
        is_awaited = signing_in.begin(request, person, at=timezone.now())
        after = "account:second-factor" if is_awaited else "account:enrol"
        return redirect(_onward(request, after))

    def _page(self, request: HttpRequest, form: Password, **context: Any) -> HttpResponse:
        page = {**around(request), "form": form, **context}
        return TemplateResponse(request, "admin/login.html", page)


@method_decorator(
    [never_cache, csrf_protect, sensitive_post_parameters("code", "credential")], name="dispatch"
)
class SecondFactorView(View):
    """Asks whose password was right for a second factor."""

    def get(self, request: HttpRequest) -> HttpResponse:
        person = signing_in.awaited(request, at=timezone.now())
        if person is None:
            return redirect(_onward(request, "admin:login"))
        return self._page(request, person, asking.Answer())

    def post(self, request: HttpRequest) -> HttpResponse:
        person, form = signing_in.awaited(request, at=timezone.now()), asking.Answer(request.POST)
        if person is None:
            messages.error(request, "等待验证的时间已过，请重新登录")
            return redirect(_onward(request, "admin:login"))
        if not form.is_valid():
            return self._page(request, person, form)
        try:
            factor = signing_in.prove(request, person, **form.cleaned_data, at=timezone.now())
        except mfa.WrongAnswer:
            form.add_error("code", WRONG)
            return self._page(request, person, form)
        signing_in.finish(request, person, factor=factor, at=timezone.now())
        left = mfa.codes_left(person)
        if factor == mfa.RECOVERY and left <= FEW_CODES:
            messages.warning(request, f"备用码还剩 {left} 个，请到“登录验证”重新生成")
        return HttpResponseRedirect(stepup.onward(request))

    def _page(self, request: HttpRequest, person: Staff, form: asking.Answer) -> HttpResponse:
        return asking.page(request, "accounts/second_factor.html", person, form=form)


def _onward(request: HttpRequest, name: str) -> str:
    """Return the address of a page that goes on to where somebody wanted to."""
    query = urlencode({"next": stepup.onward(request)})
    return f"{reverse(name)}?{query}"
