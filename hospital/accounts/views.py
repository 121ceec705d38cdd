"""The page that asks once more who is there (`hospital.stepup`)."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from hospital import stepup
from hospital.accounts.models import Staff, staff_of
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.recording import record

WRONG = "密码不正确"
TOO_OFTEN = "密码多次不正确，已退出；请 15 分钟后重新登录再试"


class Confirmation(forms.Form):
    password = forms.CharField(
        label="密码",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )


@method_decorator([never_cache, sensitive_post_parameters("password")], name="dispatch")
class StepUpView(View):
    """Asks for the password of who is logged in; after five wrong answers the session ends."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return _page(request, Confirmation())

    def post(self, request: HttpRequest) -> HttpResponse:
        person, form = staff_of(request), Confirmation(request.POST)
        if not form.is_valid():
            return _page(request, form)
        left = stepup.attempt(person.pk)
        if left >= 0 and person.check_password(form.cleaned_data["password"]):
            stepup.forgive(person.pk)
            with transaction.atomic():
                stepup.confirm(request.session, at=timezone.now())
                record(Action.STEP_UP, by=person, on=person, at=timezone.now())
            return HttpResponseRedirect(stepup.onward(request))
        _record_miss(person)
        if left <= 0:
            logout(request)
            messages.error(request, TOO_OFTEN)
            return redirect("admin:login")
        form.add_error("password", WRONG)
        return _page(request, form)


def _record_miss(person: Staff) -> None:
    missed = flood.admit(f"step-up:{person.pk}")
    if missed is None:
        return
    with transaction.atomic():
        record(
            Action.STEP_UP_FAIL,
            by=person,
            on=person,
            at=timezone.now(),
            outcome="denied",
            suppressed=missed,
        )


def _page(request: HttpRequest, form: Confirmation) -> HttpResponse:
    context: dict[str, Any] = {**admin.site.each_context(request), "form": form}
    return TemplateResponse(request, "accounts/step_up.html", context)
