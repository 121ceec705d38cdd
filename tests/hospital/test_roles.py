from itertools import combinations

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError

from hospital import roles
from hospital.accounts.models import Staff
from hospital.roles import GRANTS, May, Role

ADMINISTRATORS = [Role.SYSTEM, Role.SECURITY, Role.AUDITOR]
# Reading the policy, and asking for what two others decide on, separates nobody.
OPEN_TO_MANY = {May.READ_POLICY, May.ASK_EMERGENCY}


def test_the_three_administrators_share_nothing():
    for one, other in combinations(ADMINISTRATORS, 2):
        assert GRANTS[one] & GRANTS[other] <= OPEN_TO_MANY


# VIEW_PATIENTS is held by the desk and by whoever guards privacy: both must see (masked) whom
# they serve. Nobody else shares anything.
def test_no_administrator_shares_anything_with_who_meets_patients():
    for administrator in ADMINISTRATORS:
        for other in (Role.REGISTRAR, Role.PRIVACY):
            assert GRANTS[administrator] & GRANTS[other] <= OPEN_TO_MANY


def test_every_right_is_somebodys():
    assert frozenset().union(*GRANTS.values()) == frozenset(May)


def test_a_stopped_account_may_nothing(chen):
    chen.is_active = False

    assert not any(chen.may(right) for right in May)


def test_without_a_role_one_may_nothing(chen):
    chen.role = ""

    assert not any(roles.may(chen, right) for right in May)


def test_nobody_is_a_superuser(chen):
    assert not chen.is_superuser
    assert "is_superuser" not in {field.name for field in Staff._meta.get_fields()}
    assert not hasattr(Staff.objects, "create_superuser")


def test_one_person_holds_one_account(chen):
    with pytest.raises(IntegrityError):
        Staff.objects.create_user("other", "x", display_name="x", person_id=chen.person_id)


def test_a_role_nobody_defined_is_refused_by_the_database(db):
    with pytest.raises(IntegrityError):
        Staff.objects.create_user("x", "x", display_name="x", person_id="x", role="root")


def test_createstaff_makes_an_account_with_a_password_of_its_own(db, capsys):
    call_command("createstaff", "wang", "王", "E-1", "registrar")

    password = capsys.readouterr().out.strip().rpartition("：")[2]
    assert Staff.objects.get(username="wang").check_password(password)


def test_createstaff_refuses_a_second_account_of_one_person(chen):
    with pytest.raises(CommandError, match="一人一号"):
        call_command("createstaff", "other", "王", chen.person_id, "auditor")
