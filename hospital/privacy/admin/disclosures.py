"""对外提供记录: to whom what was given of whom, when and why; read-only, newest first."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from hospital import roles
from hospital.admin import GrantedAdmin
from hospital.audit.admin import people
from hospital.paging import Keyset
from hospital.patients.models import Patient
from hospital.privacy import telling
from hospital.privacy.models import Disclosure
from hospital.roles import May


@admin.register(Disclosure)
class DisclosureAdmin(GrantedAdmin):
    view = frozenset({May.VIEW_DISCLOSURES})
    list_display = ("given", "recipient", "why", "what", "count", "whose")
    list_display_links = ("given",)
    list_filter = ("recipient", "at")
    sortable_by = ()
    fields = readonly_fields = (
        "given",
        "recipient",
        "why",
        "what",
        "count",
        "whose",
        "who",
        "reference",
    )

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Keyset]:
        return Keyset

    @admin.display(description="时间")
    def given(self, row: Disclosure) -> str:
        return f"{timezone.localtime(row.at):%Y-%m-%d %H:%M:%S}"

    @admin.display(description="用途")
    def why(self, row: Disclosure) -> str:
        return telling.PURPOSES.get(row.purpose, row.purpose)

    @admin.display(description="内容")
    def what(self, row: Disclosure) -> str:
        return "、".join(telling.words(row.fields)) or "无个人信息"

    @admin.display(description="患者（编码）")
    def whose(self, row: Disclosure) -> str:
        return str(row.subject or "—")

    @admin.display(description="患者编号")
    def number(self, row: Disclosure) -> str:
        if row.subject is None:
            return "—"
        known = Patient.objects.filter(pk=row.subject).values_list("number", flat=True).first()
        return known or "档案已删除"

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return _as_known(self.list_display, request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return _as_known(self.fields, request)

    get_readonly_fields = get_fields

    @admin.display(description="经办人")
    def who(self, row: Disclosure) -> str:
        if row.by is None:
            return "系统"
        return people.names([row.by]).get(str(row.by), "—")


def _as_known(columns: Sequence[str], request: HttpRequest) -> list[str]:
    """Return the columns for this reader: auditors know patients by what stands in for them."""
    knows = roles.may(request.user, May.VIEW_PATIENTS)
    return ["number" if knows and one == "whose" else one for one in columns]
