"""Where staff change their own password."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpResponse
from django.urls import reverse_lazy
from django.utils import timezone

from hospital.accounts import passwords
from hospital.accounts.forms import OwnPassword
from hospital.accounts.models import staff_of
from hospital.accounts.views.around import around


class OwnPasswordView(PasswordChangeView):
    """Every other login of theirs ends with it (`Staff.get_session_auth_hash`)."""

    form_class = OwnPassword
    template_name = "accounts/own_password.html"
    success_url = reverse_lazy("admin:index")

    def form_valid(self, form: Any) -> HttpResponse:
        answer = super().form_valid(form)
        messages.success(self.request, "密码已修改，其他地方的登录已退出")
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        due = {"is_due": passwords.is_due(staff_of(self.request), at=timezone.now())}
        return {**around(self.request), **due, **super().get_context_data(**kwargs)}
