"""The page that asks once more who is there (`hospital.stepup`)."""

from django.contrib import messages
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from hospital import policy, stepup
from hospital.accounts import mfa, signing_in
from hospital.accounts.models import Staff, staff_of
from hospital.accounts.views import asking
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.recording import record

TOO_OFTEN = "多次没有通过验证，已退出，请重新登录"


@method_decorator([never_cache, sensitive_post_parameters("code", "credential")], name="dispatch")
class StepUpView(View):
    """Asks who is logged in for a second factor; after five wrong answers the session ends."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(request, asking.Answer())

    def post(self, request: HttpRequest) -> HttpResponse:
        person, form = staff_of(request), asking.Answer(request.POST)
        if not form.is_valid():
            return self._page(request, form)
        left, at = stepup.attempt(request.session), timezone.now()
        if left < 0:
            return _out(request, person)
        try:
            signing_in.prove(request, person, **form.cleaned_data, at=at)
        except mfa.WrongAnswer as exc:
            if left == 0:
                return _out(request, person)
            _record_miss(person)
            form.add_error("code", str(exc))
            return self._page(request, form)
        with transaction.atomic():
            stepup.confirm(request.session, at=at)
            record(Action.STEP_UP, by=person, on=person, at=at)
        return HttpResponseRedirect(stepup.onward(request))

    def _page(self, request: HttpRequest, form: asking.Answer) -> HttpResponse:
        return asking.page(
            request,
            "accounts/step_up.html",
            staff_of(request),
            form=form,
            minutes=policy.value("STEP_UP_MINUTES"),
        )


def _out(request: HttpRequest, person: Staff) -> HttpResponse:
    _record_miss(person)
    logout(request)
    messages.error(request, TOO_OFTEN)
    return redirect("admin:login")


def _record_miss(person: Staff) -> None:
    missed = flood.admit(f"step-up:{person.pk}", Action.STEP_UP_FAIL, by=person, on=person)
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
