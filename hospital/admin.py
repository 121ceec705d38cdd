"""Admin pages governed by roles: what `GRANTS` does not give, no page shows."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest

from hospital import roles
from hospital.roles import May

# Which apps make up one heading of the home page, in order.
SECTIONS = [
    ("登记业务", ["faceauth.FaceSession", "patients.Patient"]),
    ("告知与同意", ["faceauth.Notice", "faceauth.Consent"]),
    ("终端设备", ["devices.Store", "devices.Terminal"]),
    (
        "合规审计",
        ["audit.Event", "audit.Finding", "audit.Review", "audit.Export", "audit.Proposal"],
    ),
    ("系统", ["accounts.Staff", "faceauth.Merchant", "crypto.KeyEpoch", "crypto.Job"]),
]


def in_words(field: str, *, label: str, yes: str, no: str) -> Callable[[Any], str]:
    """Return a yes-or-no column; Django's is a picture that reads itself out as "True"."""

    @admin.display(description=label, ordering=field)
    def column(row: Any) -> str:
        return yes if getattr(row, field) else no

    return column


class Site(admin.AdminSite):
    site_title = site_header = "刷脸实名建档"
    index_title = "工作台"
    site_url = None
    enable_nav_sidebar = True

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Group pages by what people come to do, not by where the code lives."""
        apps = super().get_app_list(request, app_label)
        if app_label:
            return apps
        pages = {page["model"]._meta.label: page for app in apps for page in app["models"]}
        sections = []
        for name, labels in SECTIONS:
            found = [pages[label] for label in labels if label in pages]
            if found:
                sections.append(
                    {
                        "name": name,
                        "app_label": name,
                        "app_url": "",
                        "has_module_perms": True,
                        "models": found,
                    }
                )
        return sections


class GrantedAdmin(admin.ModelAdmin[Any]):
    """
    A page whose doors are rights. What is not opened here stays shut, deletion always.

    `view`, `add` and `change` name the right each needs; None means nobody.
    """

    view: ClassVar[frozenset[May]] = frozenset()
    add: ClassVar[May | None] = None
    change: ClassVar[May | None] = None

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """
        Filter by what the page offers and nothing else.

        Django allows any column of the table, and a hash or an index can be read out of one
        by asking for its beginnings.
        """
        offered = [name for name in self.list_filter if isinstance(name, str)]
        path, _, question = lookup.rpartition("__")
        return lookup in offered or (
            question in {"exact", "isnull", "in"}
            and path.removesuffix("__id").removesuffix("__pk") in offered
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return any(roles.may(request.user, right) for right in self.view)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.add is not None and roles.may(request.user, self.add)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.change is not None and roles.may(request.user, self.change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    # Django's own log is mutable and dies with its user; the verbs write the trail instead.

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None
