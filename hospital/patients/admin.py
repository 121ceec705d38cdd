from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone

from hospital.accounts.models import staff_of
from hospital.admin import GrantedAdmin
from hospital.audit.facts import Shown
from hospital.paging import Keyset
from hospital.patients import viewing
from hospital.patients.models import Patient
from hospital.roles import May


@admin.register(Patient)
class PatientAdmin(GrantedAdmin):
    """Masked and read-only; one of them is a page of the desk's. Looking is on record."""

    view = frozenset({May.VIEW_PATIENTS})
    list_display = ["number", "masked_name", "document_type", "created_at"]
    list_filter = ["document_type"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Patient]:
        return Patient.objects.seen_by(staff_of(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Keyset]:
        return Keyset

    @admin.display(description="姓名（脱敏）")
    def masked_name(self, patient: Patient) -> str:
        return viewing.readable(lambda: patient.masked_name)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and "cl" in (response.context_data or {}):
            patients = response.context_data["cl"].result_list  # type: ignore[index]
            viewing.prepare(patients)
            shown = {*viewing.NAMED, Shown.DOCUMENT_TYPE, Shown.HISTORY}
            viewing.looked(patients, shown=shown, by=staff_of(request), at=timezone.now())
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        patient = self.get_object(request, unquote(object_id))
        if patient is None:
            raise Http404
        return redirect("desk:patient", patient.pk)
