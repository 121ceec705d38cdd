import gc
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

        # The settings put it to rest: what a start makes stays, and is not looked through any more.
        gc.freeze()
        gc.enable()


class HospitalAdminConfig(AdminConfig):
    default_site = "hospital.admin.Site"


def relaxations(_request: HttpRequest) -> dict[str, Any]:
    """Context processor: every page says what this installation does without."""
    return {
        "relaxed": settings.DEPLOY_LEVEL != "3",
        "keys_in_file": settings.KEY_PROVIDER == "file",
        "hospital_name": settings.HOSPITAL_NAME,
    }
