from itertools import combinations
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from hospital import roles
from hospital.accounts.models import Staff
from hospital.labels import Label
from hospital.roles import ABOUT_PATIENTS, ADMINISTRATORS, GRANTS, OF_VENDORS, SEALED, May, Role
from tests.hospital.aged import HERE

DOCS = Path(__file__).parents[2] / "docs" / "people.md"
# Reading rules, ids and states, asking for what two others decide on, and seeing to what has gone
# wrong separate nobody: none of it shows who a patient is.
OPEN_TO_MANY = {
    May.READ_POLICY,
    May.ASK_EMERGENCY,
    May.VIEW_RETENTION,
    May.VIEW_DISCLOSURES,
    May.VIEW_COMPLIANCE,
    May.MANAGE_INCIDENTS,
}
MEET_PATIENTS = (Role.REGISTRAR, Role.PRIVACY)


@pytest.fixture(params=[HERE])
def accounts(db):
    """The database itself is asked: nothing of ours stands in between."""

    def update(staff, **columns):
        key = Staff._meta.pk.get_db_prep_value(staff.pk, connection)
        values = ", ".join(f"{name} = %s" for name in columns)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE accounts_staff SET {values} WHERE id = %s",  # noqa: S608
                [*columns.values(), key],
            )

    return update


def test_the_three_administrators_share_nothing():
    for one, other in combinations(ADMINISTRATORS, 2):
        assert GRANTS[one] & GRANTS[other] <= OPEN_TO_MANY


# VIEW_PATIENTS is held by the desk and by whoever guards privacy: both must see (masked) whom
# they serve. Nobody else shares anything.
def test_no_administrator_shares_anything_with_who_meets_patients():
    for administrator in ADMINISTRATORS:
        for other in MEET_PATIENTS:
            assert GRANTS[administrator] & GRANTS[other] <= OPEN_TO_MANY


def test_every_right_is_somebodys():
    assert frozenset().union(*GRANTS.values()) == frozenset(May)


def test_each_role_is_in_the_table():
    assert set(GRANTS) == set(Role)
    assert {Role.EMERGENCY} == SEALED
    assert {*MEET_PATIENTS, *SEALED} == ABOUT_PATIENTS


def test_no_right_to_a_patient_is_an_administrators_or_a_vendors():
    about_patients = frozenset().union(*(GRANTS[role] for role in ABOUT_PATIENTS)) - OPEN_TO_MANY

    for administrator in ADMINISTRATORS:
        assert not GRANTS[administrator] & about_patients
    assert not OF_VENDORS & about_patients


def test_the_documented_table_is_the_table():
    rows = [f"| 权限 | {' | '.join(role.label for role in GRANTS)} |"]
    for right in May:
        held = " | ".join("✓" if right in GRANTS[role] else "" for role in GRANTS)
        rows.append(f"| {right.value} | {held} |")
    written = [line for line in DOCS.read_text().splitlines() if line.startswith("| ")]

    start = written.index(rows[0])
    assert written[start : start + len(rows)] == rows


def test_a_stopped_account_may_nothing(chen):
    chen.is_active = False

    assert not any(chen.may(right) for right in May)


def test_without_a_role_one_may_nothing(chen):
    chen.role = ""

    assert not any(roles.may(chen, right) for right in May)


def test_a_vendor_may_look_at_the_system_whatever_their_role(lin, chen):
    for person in (lin, chen):
        person.is_vendor = True
        assert {right for right in May if person.may(right)} <= OF_VENDORS


def test_nobody_is_a_superuser(chen):
    assert not chen.is_superuser
    assert "is_superuser" not in {field.name for field in Staff._meta.get_fields()}
    assert not hasattr(Staff.objects, "create_superuser")


# What the exclusions rest on, asked of the database (compliance: 三员分立)


def test_one_person_holds_one_account(accounts, chen, lin):
    with pytest.raises(IntegrityError):
        accounts(lin, person_id=chen.person_id)


@pytest.mark.parametrize("role", ["root", "SYSTEM", "system,security", "superuser"])
def test_an_account_holds_one_role_of_the_table(accounts, chen, role):
    with pytest.raises(IntegrityError):
        accounts(chen, role=role)


@pytest.mark.parametrize("role", ADMINISTRATORS)
@pytest.mark.parametrize("clearance", [Label.SENSITIVE, Label.IDENTIFYING])
def test_no_administrator_is_cleared_for_patients(accounts, chen, role, clearance):
    accounts(chen, clearance=Label.INTERNAL)
    accounts(chen, role=role)

    with pytest.raises(IntegrityError):
        accounts(chen, clearance=clearance)


@pytest.mark.parametrize("role", ["security", "auditor", "registrar", "privacy", "emergency"])
def test_a_vendor_holds_none_but_the_system_administrators(accounts, lin, role):
    accounts(lin, is_vendor=True, valid_until="2026-12-01 00:00:00+00:00")

    with pytest.raises(IntegrityError):
        accounts(lin, role=role)
    accounts(lin, role="")


def test_a_vendor_has_an_end(accounts, lin):
    with pytest.raises(IntegrityError):
        accounts(lin, is_vendor=True)


def test_a_role_nobody_defined_is_refused_by_the_database(db):
    with pytest.raises(IntegrityError):
        Staff.objects.create_user("x", "x", display_name="x", person_id="x", role="root")


def test_there_is_no_other_way_to_make_an_account_from_a_shell(db):
    with pytest.raises(CommandError, match="createstaff"):
        call_command("createstaff", "wang", "王", "E-1", "registrar")
