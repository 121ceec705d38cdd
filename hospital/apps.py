from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.http import HttpRequest


class HospitalConfig(AppConfig):
    name = "hospital"
    label = "hospital"

    def ready(self) -> None:
        from hospital import checks  # noqa: F401, PLC0415 (registers them)


class HospitalAdminConfig(AdminConfig):
    default_site = "hospital.admin.Site"


def relaxations(_request: HttpRequest) -> dict[str, Any]:
    """Context processor: every page of a relaxed installation says that it is one."""
    return {"relaxed": settings.DEPLOY_LEVEL != "3", "hospital_name": settings.HOSPITAL_NAME}
