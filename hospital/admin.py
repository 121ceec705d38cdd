"""Admin pages governed by roles: what `GRANTS` does not give, no page shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, resolve, reverse

from hospital import roles
from hospital.errors import Refusal
from hospital.labels import NotCleared
from hospital.roles import May

# Which apps make up one heading of the home page, in order.
SECTIONS = [
    ("登记业务", ["faceauth.FaceSession", "patients.Patient"]),
    ("告知与同意", ["faceauth.Notice", "faceauth.Consent"]),
    (
        "个人信息保护",
        [
            "privacy.Erasure",
            "privacy.LegalHold",
            "privacy.RetentionRule",
            "privacy.RetentionRun",
            "privacy.Disclosure",
            "privacy.Assessment",
            "privacy.Incident",
        ],
    ),
    ("应急", ["accounts.Emergency"]),
    ("终端设备", ["devices.Store", "devices.Terminal"]),
    (
        "合规审计",
        ["audit.Event", "audit.Finding", "audit.Review", "audit.Export", "audit.Proposal"],
    ),
    (
        "系统",
        [
            "accounts.Staff",
            "accounts.PolicyChoice",
            "faceauth.Merchant",
            "crypto.KeyEpoch",
            "crypto.Job",
        ],
    ),
]
# Of the desk, which are no tables: name, what it is called, whose it is: any of these rights'.
DESK: Final[list[tuple[str, str, *tuple[May, ...]]]] = [
    ("desk:find", "查找患者", May.SEARCH_PATIENTS),
    ("desk:register", "人工建档", May.REGISTER_PATIENTS),
    ("desk:registrations", "建档复核", May.REGISTER_PATIENTS),
    ("desk:likenesses", "疑似重复", May.LINK_PATIENTS),
    ("desk:corrections", "更正复核", May.DECIDE_CORRECTIONS),
    ("desk:rights", "权利请求", May.OPEN_RIGHTS, May.DECIDE_RIGHTS),
    ("desk:handoffs", "HIS 移交", May.HANDLE_HANDOFFS),
    ("desk:test-page", "打印测试页", May.REGISTER_PATIENTS),
    ("compliance:matrix", "合规状况", May.VIEW_COMPLIANCE),
]


@dataclass(frozen=True)
class Duty:
    """
    One line of a home page: what waits for its reader, and where to see to it.

    :param badge: of what must not wait
    """

    name: str
    value: str
    url: str = ""
    badge: str = ""


def demand(request: HttpRequest, right: May) -> None:
    """:raises PermissionDenied: whoever asks does not hold it"""
    if not roles.may(request.user, right):
        raise PermissionDenied


@contextmanager
def refusals_told(request: HttpRequest) -> Iterator[None]:
    """Say on the next page why a verb refused; what was to be said of its success is left out."""
    try:
        yield
    except Refusal as exc:
        messages.error(request, str(exc))


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

    def index(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:
        """Whoever works at the desk begins at its board; the others with what waits for them."""
        if roles.may(request.user, May.VIEW_SESSIONS):
            with suppress(NotCleared):  # then with the pages that are still theirs
                board: TemplateResponse = resolve(reverse("desk:board")).func(request)
                return board
        return super().index(request, extra_context)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            **super().each_context(request),
            "desk_pages": [
                (view, label)
                for view, label, *rights in DESK
                if any(roles.may(request.user, right) for right in rights)
            ],
            "home": "今日工作台" if roles.may(request.user, May.VIEW_SESSIONS) else "工作台",
            "may_find": roles.may(request.user, May.SEARCH_PATIENTS),
        }

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

    def at(self, route: str, view: Callable[..., Any], name: str) -> URLPattern:
        """Return a door of this page's own, called `app_model_name`."""
        opts = self.model._meta
        guarded = self.admin_site.admin_view(view)
        made: URLPattern = path(route, guarded, name=f"{opts.app_label}_{opts.model_name}_{name}")
        return made

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """
        Filter by what the page offers and nothing else.

        Django allows any column of the table, and a hash or an index can be read out of one
        by asking for its beginnings.
        """
        named = [one[0] if isinstance(one, tuple) else one for one in self.list_filter]
        offered = [name for name in named if isinstance(name, str)]
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

    def shown(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """Return what the page of one thing shows besides its fields."""
        return {}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if context.get("original"):
            context = {**self.shown(request, context["original"]), **context}
        return super().render_change_form(request, context, *args, **kwargs)

    # Django's own log is mutable and dies with its user; the verbs write the trail instead.

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None
