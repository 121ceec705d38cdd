"""Once a day somebody looks whether anybody stands above the roles."""

import json

import pytest
from django.conf import settings as project
from django.contrib import admin
from django.db import connection
from django.utils import timezone

from hospital.accounts import privilege, tasks
from hospital.accounts.models import Staff
from hospital.audit import alarms
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.roles import Role
from tests.hospital.aged import HERE, execute, postgresql_only

NOW = timezone.now()


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


def check():
    return privilege.check(at=timezone.now())


def unconstrained(name):
    """Take a constraint away, as somebody with the owner's account would."""
    [constraint] = [one for one in Staff._meta.constraints if one.name == name]
    with connection.schema_editor(atomic=False) as editor:
        editor.remove_constraint(Staff, constraint)


def told():
    events = Event.objects.filter(action="staff.privilege")
    return [json.loads(event.payload)["facts"] for event in events]


def test_a_hospital_as_it_should_be_has_none(lin, mei, zhou, chen, gu):
    assert check() == {}
    assert told() == []


@pytest.mark.parametrize("flag", ["is_superuser", "is_staff"])
def test_a_flag_that_appears_among_the_accounts_is_an_alert(chen, flag):
    execute(f"ALTER TABLE accounts_staff ADD COLUMN {flag} boolean DEFAULT true")

    assert check() == {"flag_column": 1}
    assert told() == [{"code": "flag_column", "count": 1}]
    [event] = Event.objects.filter(action="staff.privilege")
    assert json.loads(event.payload)["severity"] == "alert"


def test_another_table_of_users_is_one_too(chen):
    execute("CREATE TABLE auth_user (id integer, is_superuser boolean, password text)")
    assert check() == {}

    execute("INSERT INTO auth_user VALUES (1, true, 'x')")
    assert check() == {"other_users": 1}


class TestConstraintsGone:
    """SQLite remakes a table to drop a constraint, which no transaction of a test survives."""

    pytestmark = postgresql_only

    def test_a_role_nobody_defined(self, chen):
        unconstrained("staff_role_known")
        Staff.objects.filter(pk=chen.pk).update(role="root")

        assert check() == {"role_unknown": 1}

    def test_an_administrator_who_may_see_patients(self, zhou):
        unconstrained("staff_administrator_label")
        Staff.objects.filter(pk=zhou.pk).update(clearance=4)

        assert check() == {"administrator_cleared": 1}

    def test_a_vendor_without_an_end_or_with_patients(self, chen, lin):
        unconstrained("staff_vendor_ends")
        Staff.objects.filter(pk=chen.pk).update(is_vendor=True, valid_until=NOW)
        Staff.objects.filter(pk=lin.pk).update(is_vendor=True)

        assert check() == {"vendor_unbound": 2}


def test_one_person_with_two_accounts_is_found_however_the_number_is_written(chen, sun):
    Staff.objects.filter(pk=sun.pk).update(person_id=f" {chen.person_id.lower()} ")

    assert check() == {"person_twice": 1}


def test_the_sealed_account_without_an_end_is_found(chen):
    Staff.objects.filter(pk=chen.pk).update(role=Role.EMERGENCY, valid_until=None)

    assert check() == {"sealed_open": 1}


@pytest.mark.parametrize(("level", "found"), [("3", {"database_account": 1}), ("demo", {})])
def test_the_applications_account_of_the_database_is_no_superuser(settings, level, found):
    settings.DEPLOY_LEVEL = level
    expected = found if connection.vendor == "postgresql" else {}  # the tests' account is one

    assert check() == expected


def test_the_auditor_is_told(chen, sun):
    Staff.objects.filter(pk=sun.pk).update(person_id=chen.person_id.lower())

    tasks.look_for_privilege.apply(throw=True)
    alarms.watch(at=timezone.now())

    finding = Finding.objects.get(kind="privilege")
    assert finding.severity == Finding.Severity.ALERT
    assert finding.facts["code"] == "person_twice"


def test_the_beat_looks_every_day():
    entry = project.CELERY_BEAT_SCHEDULE["look-for-privilege"]

    assert entry["task"] == tasks.look_for_privilege.name
    assert (entry["schedule"].hour, entry["schedule"].minute) == ({1}, {30})


def test_no_page_edits_groups_or_permissions():
    assert not {"auth.Group", "auth.Permission", "auth.User"} & {
        model._meta.label for model in admin.site._registry
    }
