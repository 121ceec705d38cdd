"""
Where somebody binds and unbinds their second factors.

The first one with the password alone, since no other page opens without it; whatever comes
after it asks who is there once more.
"""

from typing import Any

import segno
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from hospital import stepup
from hospital.accounts import mfa, mfa_sealing, second_factor, signing_in
from hospital.accounts.models import staff_of
from hospital.accounts.views.around import around
from hospital.accounts.views.asking import CODE, Credential
from hospital.admin import refusals_told

SECRET = "totp_to_be"  # noqa: S105 (where a session keeps one, sealed, until it is bound)
GROUP = 4  # characters of a secret, for who types it


class Code(forms.Form):
    code = forms.CharField(label="动态码", max_length=32, widget=forms.TextInput(attrs=CODE))


class Key(forms.Form):
    name = forms.CharField(label="名称", max_length=32, initial="安全密钥", strip=True)
    credential = Credential()


@method_decorator([never_cache, sensitive_post_parameters("code", "credential")], name="dispatch")
class Page(View):
    """Opens to who has just shown a second factor, and where `is_first` to who has none yet."""

    is_first = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect("admin:login")
        self.person, self.at = staff_of(request), timezone.now()
        self.is_half = not second_factor.is_passed(request.session)
        if self.is_half and mfa.factors_of(self.person).exists():
            return redirect("admin:login")  # bound elsewhere meanwhile: a password is not enough
        if not self.is_half and not stepup.is_fresh(request.session, at=self.at):
            return redirect(f"{reverse('step-up')}?{urlencode({'next': request.path})}")
        try:
            return super().dispatch(request, *args, **kwargs)
        except (mfa.AlreadyEnrolled, mfa.SessionOver) as exc:
            messages.error(request, str(exc))
            return redirect("admin:login")

    def page(self, template: str, **context: Any) -> HttpResponse:
        return TemplateResponse(self.request, template, {**around(self.request), **context})

    def bound(self, request: HttpRequest, factor: str, *, told: str = "已绑定") -> HttpResponse:
        """Go on to the recovery codes, which are shown once."""
        if self.is_half:
            signing_in.complete(request, factor=factor, at=self.at)
        messages.success(request, told)
        return redirect("account:codes")


class FactorsView(Page):
    """What somebody has."""

    def get(self, request: HttpRequest) -> HttpResponse:
        factors = mfa.factors_of(self.person)
        return self.page(
            "accounts/factors.html",
            factors=factors,
            has_phone=any(mfa.name_of(one) == mfa.TOTP for one in factors),
            left=mfa.codes_left(self.person),
        )


class EnrolView(Page):
    """Where somebody without a second factor chooses one."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if not self.is_half:
            return redirect("account:factors")
        return self.page("accounts/enrol.html")


class TotpView(Page):
    """Shows a secret to a phone, and takes the code it then shows; the phone of before ends."""

    def get(self, request: HttpRequest) -> HttpResponse:
        request.session[SECRET] = mfa_sealing.seal(generate_totp_secret())
        return self._page(request, Code())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = Code(request.POST)
        if SECRET not in request.session:
            return redirect("account:totp")
        if not form.is_valid():
            return self._page(request, form)
        secret = mfa_sealing.unsealed(request.session[SECRET])
        code, is_half, is_another = form.cleaned_data["code"], self.is_half, self._has_phone()
        try:
            mfa.enrol_totp(self.person, secret=secret, code=code, is_first=is_half, at=self.at)
        except mfa.WrongAnswer:
            form.add_error("code", "动态码不正确：请核对手机时间，输入当前显示的 6 位数字")
            return self._page(request, form)
        del request.session[SECRET]
        told = "已更换，原来的手机验证器不能再用" if is_another else "已绑定"
        return self.bound(request, mfa.TOTP, told=told)

    def _has_phone(self) -> bool:
        return any(mfa.name_of(one) == mfa.TOTP for one in mfa.factors_of(self.person))

    def _page(self, request: HttpRequest, form: Code) -> HttpResponse:
        secret = mfa_sealing.unsealed(request.session[SECRET])
        image = segno.make(get_adapter().build_totp_url(self.person, secret), micro=False)
        return self.page(
            "accounts/totp.html",
            form=form,
            is_another=self._has_phone(),
            image=image.svg_data_uri(scale=5, dark="#000", light="#fff"),
            secret=" ".join(secret[i : i + GROUP] for i in range(0, len(secret), GROUP)),
        )


class KeyView(Page):
    """Asks a browser for a security key, and takes what it answers."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(Key())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = Key(request.POST)
        if not form.is_valid():
            return self._page(form)
        try:
            mfa.enrol_key(self.person, **form.cleaned_data, is_first=self.is_half, at=self.at)
        except mfa.WrongAnswer as exc:
            form.add_error(None, str(exc))
            return self._page(form)
        return self.bound(request, mfa.KEY)

    def _page(self, form: Key) -> HttpResponse:
        options = mfa.key_to_bind(self.person)
        return self.page("accounts/key.html", form=form, options=options)


class CodesView(Page):
    """Shows recovery codes once, and makes new ones."""

    def get(self, request: HttpRequest) -> HttpResponse:
        codes = mfa.codes_to_show(self.person)
        left = mfa.codes_left(self.person)
        return self.page("accounts/codes.html", codes=codes, left=left)

    def post(self, request: HttpRequest) -> HttpResponse:
        mfa.renew_codes(self.person, at=self.at)
        return redirect("account:codes")


class RemoveView(Page):
    """Asks whether to unbind a factor, and does."""

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self.page("accounts/remove.html", factor=self._factor(pk))

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        factor = self._factor(pk)
        with refusals_told(request):
            mfa.remove(self.person, factor, at=self.at)
            messages.success(request, "已解绑")
        return HttpResponseRedirect(reverse("account:factors"))

    def _factor(self, pk: int) -> Authenticator:
        return get_object_or_404(mfa.factors_of(self.person), pk=pk)
