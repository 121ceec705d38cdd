"""What a model, an admin or a setting gets wrong about sealed fields is said before it runs."""

import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.contrib import admin
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Upper
from uuid6 import uuid7

from hospital.crypto import checks
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import BlindIndex, Spread
from hospital.crypto.records import SealedModel
from hospital.patients.models import Patient

MODELS = (
    checks.contexts_are_unique,
    checks.contexts_are_locked,
    checks.constraints_leave_sealed_fields_alone,
    checks.nothing_is_ordered_by_a_sealed_field,
    checks.indexes_are_sound,
    checks.names_of_rows_show_nothing,
)


def guest(body=None, **meta):
    """Return a model with a sealed name, in a registry of its own."""
    options = {"app_label": "crypto", "apps": Apps(), **meta}
    namespace = {
        "__module__": __name__,
        "id": models.UUIDField(primary_key=True, default=uuid7),
        "name": SealedField(context="guest.name"),
        "ward": models.CharField(max_length=8, default=""),
        "Meta": type("Meta", (), options),
    }
    return type("Guest", (SealedModel,), {**namespace, **(body or {})})


@pytest.fixture
def project(monkeypatch, tmp_path):
    """Make these models the project's, and a lock that knows the guest's name."""

    def of(*found):
        monkeypatch.setattr(apps, "get_models", lambda **_: list(found))

    lock = tmp_path / "contexts.lock"
    lock.write_text("# 说明\nguest.name crypto.guest.name\n")
    monkeypatch.setattr(checks, "LOCK", lock)
    return of


def ids(*which):
    return [found.id for check in which for found in check()]


def test_the_project_passes(monkeypatch):
    monkeypatch.setattr(checks, "all_sites", [admin.site])  # those of tests live on for a while
    assert ids(*MODELS, checks.admin_leaves_sealed_fields_alone) == []


def test_a_sound_model_passes(project):
    project(guest())

    assert ids(*MODELS) == []


# The lock.


def test_a_new_field_is_added_to_the_lock(project):
    checks.LOCK.write_text("")
    project(guest())

    (found,) = checks.contexts_are_locked()
    assert found.id == "crypto.E010"
    assert "“guest.name crypto.guest.name”" in found.hint


@pytest.mark.parametrize(
    "line",
    ["guest.full_name crypto.guest.name", "guest.name crypto.visitor.name"],
    ids=["context", "field"],
)
def test_a_context_or_a_field_that_changed_is_noticed(project, line):
    checks.LOCK.write_text(line)
    project(guest())

    assert ids(checks.contexts_are_locked) == ["crypto.E010"]


def test_the_lock_of_the_project_names_each_field_once():
    lines = [one.split() for one in checks.LOCK.read_text().splitlines()[1:]]

    assert len({context for context, _ in lines}) == len({field for _, field in lines})
    for context, field in lines:
        model, name = field.rsplit(".", 1)
        assert apps.get_model(model)._meta.get_field(name).context == context


# Constraints, indexes, ordering.


@pytest.mark.parametrize(
    "meta",
    [
        {"unique_together": [("ward", "name")]},
        {"indexes": [models.Index(fields=["-name"], name="x")]},
        {"indexes": [models.Index(Upper("name"), name="x")]},
        {"indexes": [models.Index(F("name").asc(), name="x")]},
        {"indexes": [models.Index(fields=["ward"], condition=Q(name="x"), name="x")]},
        {"indexes": [models.Index(fields=["ward"], include=["name"], name="x")]},
        {"constraints": [models.UniqueConstraint(fields=["name"], name="x")]},
        {"constraints": [models.UniqueConstraint(Upper("name"), name="x")]},
        {"constraints": [models.CheckConstraint(condition=~Q(name=""), name="x")]},
        {"constraints": [models.CheckConstraint(condition=Q(ward=F("name")), name="x")]},
    ],
    ids=[
        "unique_together", "index", "function", "ordered", "condition", "include", "unique",
        "unique-function", "check", "check-f",
    ],
)  # fmt: skip
def test_no_constraint_or_index_is_about_a_sealed_field(project, meta):
    project(guest(**meta))

    assert ids(checks.constraints_leave_sealed_fields_alone) == ["crypto.E006"]


def test_whether_there_is_a_value_may_be_a_condition(project):
    there = models.CheckConstraint(condition=Q(name__isnull=False) | Q(ward="x"), name="x")
    project(guest(constraints=[there]))

    assert ids(checks.constraints_leave_sealed_fields_alone) == []


@pytest.mark.parametrize(
    "ordering",
    [["name"], ["-name"], ["ward", F("name").desc()], [Upper("name")]],
    ids=["name", "descending", "f", "function"],
)
def test_no_model_is_ordered_by_a_sealed_field(project, ordering):
    project(guest(ordering=ordering))

    assert ids(checks.nothing_is_ordered_by_a_sealed_field) == ["crypto.E011"]


def test_nor_by_one_of_a_related_model(project):
    project(apps.get_model("patients.WechatAccount"))
    meta = apps.get_model("patients.WechatAccount")._meta
    before, meta.ordering = meta.ordering, ["patient__real_name"]

    found = ids(checks.nothing_is_ordered_by_a_sealed_field)
    meta.ordering = before
    assert found == ["crypto.E011"]


# Admin.


def shown(_admin, _row):
    return ""


shown.admin_order_field = "-name"


@pytest.mark.parametrize(
    "options",
    [
        {"search_fields": ["ward", "name"]},
        {"search_fields": ["^name"]},
        {"search_fields": ["name__icontains"]},
        {"list_filter": ["name"]},
        {"list_filter": [("name", admin.AllValuesFieldListFilter)]},
        {"list_filter": [("name", admin.EmptyFieldListFilter)]},
        {"ordering": ["-name"]},
        {"list_display": ["ward", "name"]},
        {"date_hierarchy": "name"},
        {"list_display": ["shown"], "shown": shown},
        {"readonly_fields": ["name"]},
        {"fields": ["ward", ("name",)]},
        {"fieldsets": [("", {"fields": ["ward", "name"]})]},
    ],
    ids=[
        "search", "search-prefix", "search-lookup", "filter", "filter-class", "filter-empty",
        "ordering", "list_display", "date_hierarchy", "display-ordering", "readonly", "fields",
        "fieldsets",
    ],
)  # fmt: skip
def test_no_admin_lists_sorts_or_searches_a_sealed_field(monkeypatch, options):
    model = guest()
    site = admin.AdminSite()
    site._registry[model] = type("GuestAdmin", (admin.ModelAdmin,), options)(model, site)
    monkeypatch.setattr(checks, "all_sites", [site])

    assert ids(checks.admin_leaves_sealed_fields_alone) == ["crypto.E012"]


def test_no_inline_shows_a_sealed_field(monkeypatch):
    model, site = guest(), admin.AdminSite()
    inline = type("Inline", (admin.TabularInline,), {"model": model, "readonly_fields": ["name"]})
    desk = type("Desk", (admin.ModelAdmin,), {"inlines": [inline]})
    site._registry[Patient] = desk(Patient, site)
    monkeypatch.setattr(checks, "all_sites", [site])

    assert ids(checks.admin_leaves_sealed_fields_alone) == ["crypto.E012"]


def test_an_admin_that_masks_passes(monkeypatch):
    model, site = guest(), admin.AdminSite()
    options = {"list_display": ["masked"], "masked": lambda _admin, _row: "", "ordering": ["ward"]}
    site._registry[model] = type("GuestAdmin", (admin.ModelAdmin,), options)(model, site)
    monkeypatch.setattr(checks, "all_sites", [site])

    assert ids(checks.admin_leaves_sealed_fields_alone) == []


# Indexes and names of rows.


def test_the_indexes_of_models_are_judged(project):
    careless = BlindIndex("guest.x", column="x", parts={"surname": Spread.NARROW}, of="x", bits=5)
    project(guest({"by_surname": careless}))

    assert ids(checks.indexes_are_sound) == ["crypto.E008", "crypto.E009"]


@pytest.mark.parametrize(
    "show",
    [
        lambda one: one.name,
        lambda one: f"{one.name[:1]}**",
        lambda one: f"{one.ward}（{one.name}）",
    ],
    ids=["whole", "first-character", "within"],
)
def test_the_name_of_a_row_shows_nothing_sealed(project, show):
    project(guest({"__str__": show}))

    assert ids(checks.names_of_rows_show_nothing) == ["crypto.E013"]


def test_a_name_that_cannot_be_made_of_an_empty_row_is_passed_over(project):
    project(guest({"__str__": lambda one: str(one.nobody)}))

    assert ids(checks.names_of_rows_show_nothing) == []


# Settings.


@pytest.mark.parametrize(
    ("debug", "level", "found"),
    [(True, "3", ["crypto.E014"]), (False, "3", []), (True, "demo", [])],
    ids=["level-3", "no-debug", "demo"],
)
def test_production_is_not_debugged(settings, debug, level, found):
    settings.DEBUG, settings.DEPLOY_LEVEL = debug, level

    assert ids(checks.nothing_is_debugged_in_production) == found


def test_a_suite_nobody_knows_is_refused(settings):
    settings.CRYPTO_SUITE = "des"

    assert ids(checks.suite_is_known) == ["crypto.E007"]
