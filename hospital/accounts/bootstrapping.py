"""
A new installation begins with three administrators, who from then on need each other.

Nobody comes after them this way: whoever else works here is given an account and a role by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from hospital.accounts import naming, passwords
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.errors import Refusal
from hospital.roles import ADMINISTRATORS, Role


class AlreadyStaffed(Refusal):
    code = "already_staffed"
    message = "系统已有账号，不能再次初始化；请由现有管理员在后台建立账号"


class NotAName(Refusal):
    code = "username_invalid"
    message = "工号只含字母、数字和 @ . + - _，最长 32 个字符；显示名和人员编号不能为空"


@dataclass(frozen=True)
class Newcomer:
    username: str
    display_name: str
    person_id: str


@transaction.atomic
def bootstrap(people: Mapping[Role, Newcomer], *, at: datetime) -> dict[Role, tuple[Staff, str]]:
    """
    Make exactly the three administrators; return each with a one-time password.

    :raises ValueError: not these three roles
    :raises AlreadyStaffed: there is an account, whosever
    :raises Reserved, SamePerson, NotAName:
    """
    if set(people) != set(ADMINISTRATORS):
        raise ValueError("one system, one security and one audit administrator")
    _alone()
    if Staff.objects.exists():
        raise AlreadyStaffed
    return {role: _made(role, people[role], at=at) for role in ADMINISTRATORS}


def _alone() -> None:
    """Let two who begin at once do so one after the other; SQLite writes one at a time anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {Staff._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")


def _made(role: Role, newcomer: Newcomer, *, at: datetime) -> tuple[Staff, str]:
    naming.demand_own_name(newcomer.username)
    staff = Staff(
        username=newcomer.username,
        display_name=newcomer.display_name.strip(),
        person_id=naming.person_number(newcomer.person_id),
        role=role,
        password=make_password(None),
    )
    try:
        staff.clean_fields(exclude={"password", "role"})
    except ValidationError:
        raise NotAName from None
    naming.demand_no_account(staff.person_id, but=staff)
    if Staff.objects.filter(username__iexact=staff.username).exists():
        raise naming.SamePerson
    try:
        staff.save()
    except IntegrityError:
        raise naming.SamePerson from None
    record(Action.STAFF_CREATE, by=SYSTEM, on=staff, at=at, role=role)
    return staff, passwords.issue(staff, at=at)
