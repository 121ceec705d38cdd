"""
While one process after another gets the new release, those of the previous one go on working.

So what a migration does to a table must leave it usable for both (docs/engines.md says how). What
is refused is decided by django-migration-linter, from the statements PostgreSQL would get.
"""

import re

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django_migration_linter import MigrationLinter
from django_migration_linter.sql_analyser import PostgresqlAnalyser, analyse_sql_statements

from hospital.demo.installation import ROOT

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db]

RETYPED = re.compile(r'ALTER COLUMN "\w+" TYPE ')

# Those that came before there was a release somebody could run beside them: on an empty database,
# or with every process stopped. Nothing is added to this list; what is new is written so that
# it need not be.
BEFORE = {
    ("accounts", "0002_people"): "a column NOT NULL, for a table with nobody in it yet",
    ("crypto", "0002_slots_and_jobs"): "a constraint, on tables of a few rows",
    ("devices", "0002_supervision_and_rotation"): "columns NOT NULL, with every process stopped",
    ("devices", "0003_campus"): "a column NOT NULL, with every process stopped",
    ("devices", "0004_rights_and_retention"): "a column NOT NULL, with every process stopped",
    ("faceauth", "0002_merchant_keys_and_session_kind"): "columns NOT NULL, all stopped",
    ("faceauth", "0003_desk"): "columns NOT NULL, with every process stopped",
    ("faceauth", "0004_rights_and_retention"): "columns NOT NULL, with every process stopped",
    ("patients", "0004_desk"): "columns NOT NULL, with every process stopped",
    ("patients", "0005_rights_and_retention"): "columns NOT NULL, with every process stopped",
}


def ours() -> list[Migration]:
    packages = ("hospital.", "devices", "faceauth")
    labels = {one.label for one in apps.get_app_configs() if one.name.startswith(packages)}
    graph = MigrationLoader(connection).graph
    return [graph.nodes[key] for key in graph.nodes if key[0] in labels]


def statements(migration: Migration) -> list[str]:
    linter = MigrationLinter(str(ROOT), no_cache=True, no_output=True)
    found: list[str] = linter.get_sql(migration.app_label, migration.name)
    return found


def errors(migration: Migration) -> list[str]:
    found, _, _ = analyse_sql_statements(PostgresqlAnalyser, statements(migration))
    return [one.message for one in found]


def is_after(migration: Migration) -> bool:
    return not migration.initial and (migration.app_label, migration.name) not in BEFORE


def test_no_new_migration_stops_the_release_before_it():
    found = {f"{one.app_label}.{one.name}": errors(one) for one in ours() if is_after(one)}

    assert {name: said for name, said in found.items() if said} == {}


def test_no_new_migration_changes_the_type_of_a_column():
    """What is planned once in a connection would be refused to the release before."""
    changes = {
        f"{one.app_label}.{one.name}": [sql for sql in statements(one) if RETYPED.search(sql)]
        for one in ours()
        if is_after(one)
    }

    assert {name: found for name, found in changes.items() if found} == {}


def test_what_is_let_through_is_there_and_needs_it():
    listed = [one for one in ours() if (one.app_label, one.name) in BEFORE]

    assert len(listed) == len(BEFORE)
    assert [f"{one.app_label}.{one.name}" for one in listed if not errors(one)] == []
