from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from hospital import api, health
from hospital.accounts.views.own_password import OwnPasswordView
from hospital.accounts.views.signing_in import LogInView
from hospital.accounts.views.step_up import StepUpView
from hospital.compliance.views.privacy import privacy
from hospital.metrics.page import Metrics

# What anybody may read: it is in the repository too.
OPEN_TO_ALL: dict[str, Any] = {
    "authentication_classes": [],
    "permission_classes": [],
    "throttle_classes": [],
}

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", Metrics.as_view(), name="metrics"),
    path("privacy", privacy, name="privacy"),
    path("compliance", RedirectView.as_view(pattern_name="compliance:matrix")),
    path("api/v1/", include("devices.urls")),
    path("api/v1/", include("faceauth.urls")),
    path("api/openapi.yaml", SpectacularAPIView.as_view(**OPEN_TO_ALL), name="openapi"),
    path(
        "api/docs",
        SpectacularSwaggerSplitView.as_view(
            url_name="openapi", template_name="api_docs.html", **OPEN_TO_ALL
        ),
        name="api-docs",
    ),
    re_path(r"^api/", csrf_exempt(api.not_found)),  # does nothing, answers anybody
    path("admin/login/", LogInView.as_view(), name="login"),  # before the admin's own
    path("admin/password_change/", OwnPasswordView.as_view(), name="own-password"),
    path("admin/account/", include("hospital.accounts.urls")),
    path("admin/step-up/", admin.site.admin_view(StepUpView.as_view()), name="step-up"),
    path("admin/desk/", include("hospital.desk.urls")),
    path("admin/compliance/", include("hospital.compliance.urls")),
    path("admin/", admin.site.urls),
]


def handler500(request: HttpRequest) -> HttpResponse:
    """A bug, told in the language of whoever asked."""
    if request.path.startswith("/api/"):
        return api.broken(request)
    return defaults.server_error(request)
