"""A new installation gets three administrators, once; nobody stands above them, ever."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import connection
from django.utils import timezone

from hospital.accounts import bootstrapping, naming
from hospital.accounts.bootstrapping import AlreadyStaffed, Newcomer
from hospital.accounts.models import Staff
from hospital.audit.models import Event
from hospital.labels import Label
from hospital.roles import ADMINISTRATORS, Role
from tests.hospital.aged import postgresql_only

THREE = ["--system", "lin", "林工", "E0001", "--security", "mei", "梅工", "E0002"]
THREE += ["--auditor", "zhou", "周审计", "E0003"]


def three(prefix=""):
    return {
        role: Newcomer(f"{prefix}{role.value}", role.label, f"{prefix}{number}")
        for number, role in enumerate(ADMINISTRATORS)
    }


def test_three_administrators_with_passwords_that_are_shown_once(db, capsys):
    call_command("bootstrapadmins", *THREE)

    shown = capsys.readouterr().out
    staff = {one.username: one for one in Staff.objects.all()}
    assert {name: one.role for name, one in staff.items()} == {
        "lin": "system",
        "mei": "security",
        "zhou": "auditor",
    }
    for name, password in re.findall(r"(\w+) 一次性密码：(\S+)", shown):
        one = staff.pop(name)
        assert one.check_password(password)
        assert one.must_change_password
        assert one.clearance == Label.INTERNAL
        assert not Event.objects.filter(payload__contains=password).exists()
    assert not staff
    assert Event.objects.filter(action="staff.create", actor_type="system").count() == 3


def test_a_second_time_refuses_and_changes_nothing(db):
    call_command("bootstrapadmins", *THREE)

    with pytest.raises(CommandError, match="已有账号"):
        call_command("bootstrapadmins", *[one.replace("E", "F") for one in THREE])
    assert Staff.objects.count() == 3


def test_one_account_of_whomever_is_enough_to_refuse(chen):
    with pytest.raises(AlreadyStaffed):
        bootstrapping.bootstrap(three(), at=timezone.now())


@pytest.mark.parametrize("name", ["admin", "Root", "TEST", "guest", "sysadmin"])
def test_a_name_that_is_nobodys_is_refused_and_nobody_is_made(db, name):
    with pytest.raises(CommandError, match="公用名称"):
        call_command("bootstrapadmins", *[name if one == "zhou" else one for one in THREE])

    assert not Staff.objects.exists()
    assert not Event.objects.exists()


@pytest.mark.parametrize("number", ["E0001", "e0001", " E0001 ", "Ｅ０００１"])
def test_one_person_does_not_get_two_of_the_three(db, number):
    with pytest.raises(CommandError, match="一人一号"):
        call_command("bootstrapadmins", *[number if one == "E0003" else one for one in THREE])

    assert not Staff.objects.exists()


@pytest.mark.parametrize("name", ["lin", "LIN"])
def test_one_username_is_not_given_twice(db, name):
    with pytest.raises(CommandError, match="工号"):
        call_command("bootstrapadmins", *[name if one == "zhou" else one for one in THREE])

    assert not Staff.objects.exists()


@pytest.mark.parametrize("wrong", ["林 工", "", "x" * 33])
def test_what_is_no_staff_number_is_refused(db, wrong):
    with pytest.raises(CommandError, match="只含字母"):
        call_command("bootstrapadmins", *[wrong if one == "zhou" else one for one in THREE])


def test_without_a_terminal_to_ask_at_all_three_are_named(db):
    with pytest.raises(CommandError, match="--auditor"):
        call_command("bootstrapadmins", *THREE[:8])


def test_it_is_these_three_roles(db):
    people = {**three(), Role.REGISTRAR: Newcomer("chen", "陈", "E9")}

    with pytest.raises(ValueError, match="one system"):
        bootstrapping.bootstrap(people, at=timezone.now())


def test_django_offers_no_superuser():
    command = load_command_class(get_commands()["createsuperuser"], "createsuperuser")

    with pytest.raises(CommandError, match=r"没有超级用户.*bootstrapadmins"):
        call_command(command)


def test_whatever_it_is_called_with(capsys):
    command = load_command_class(get_commands()["createsuperuser"], "createsuperuser")

    with pytest.raises(SystemExit):
        command.run_from_argv(["manage.py", "createsuperuser", "--noinput", "--username", "root"])

    assert "没有超级用户" in capsys.readouterr().err


def test_a_reserved_name_is_one_however_it_is_written():
    for name in ("admin", "ADMIN", "Sysadmin"):
        with pytest.raises(naming.Reserved):
            naming.demand_own_name(name)
    naming.demand_own_name("adminia")


class TestAtOnce:
    pytestmark = [*postgresql_only, pytest.mark.django_db(transaction=True)]

    def test_two_who_begin_at_once_make_three_accounts(self):
        def begin(prefix):
            try:
                return bootstrapping.bootstrap(three(prefix), at=timezone.now())
            except AlreadyStaffed:
                return None
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(begin, ["a", "b", "c", "d"]))

        assert sum(one is not None for one in made) == 1
        assert Staff.objects.count() == 3
