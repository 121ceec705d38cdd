from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.sealing import Unopenable
from hospital.patients import viewing
from hospital.patients.models import Patient
from hospital.roles import May

PATIENT_SHOWN = (
    "number",
    "masked_name",
    "document_type",
    "masked_document",
    "created_at",
)


@admin.register(Patient)
class PatientAdmin(GrantedAdmin):
    """Masked and read-only. Looking at one is on record."""

    view = frozenset({May.VIEW_PATIENTS})
    list_display = ["number", "masked_name", "document_type", "created_at"]
    list_filter = ["document_type"]
    fields = readonly_fields = PATIENT_SHOWN

    @admin.display(description="姓名（脱敏）")
    def masked_name(self, patient: Patient) -> str:
        return _shown(lambda: patient.masked_name)

    @admin.display(description="证件号码（脱敏）")
    def masked_document(self, patient: Patient) -> str:
        return _shown(lambda: patient.masked_document)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and "cl" in (response.context_data or {}):
            _looked(request, response.context_data["cl"].result_list)  # type: ignore[index]
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        _looked(request, [context["original"]])
        return super().render_change_form(request, context, *args, **kwargs)


def _shown(read: Callable[[], str]) -> str:
    """Return what is read; one patient who cannot be read does not take the page with them."""
    try:
        return read()
    except SubjectForgotten:
        return "已依法删除"
    except Unopenable:
        return "无法打开，请告诉安全管理员"


def _looked(request: HttpRequest, patients: Sequence[Patient]) -> None:
    viewing.prepare(patients)
    viewing.looked(patients, by=staff_of(request), at=timezone.now())
