"""
A role is given by two people: the security administrator asks, the system administrator approves.

With it comes what it reaches: a campus, and how far its holder is cleared. Taking a role away
needs one person, since it only ever takes rights from somebody (compliance: 三员分立). An account
that is enabled again is given nothing back: that would be a role from one person.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils.crypto import salted_hmac

from hospital import roles
from hospital.accounts import campuses, succession
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind, OwnAct, demand_asker
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.errors import Refusal
from hospital.labels import Label
from hospital.roles import ABOUT_PATIENTS, ADMINISTRATORS, SEALED, May, Role

GIVEN: Final = ("role", "campus", "clearance")  # what comes, and goes, together
NOTHING: Final[Mapping[str, Any]] = {"role": "", "campus": "", "clearance": Label.INTERNAL}
OF_A_CAMPUS: Final = frozenset({Role.REGISTRAR})  # roles that end where a campus does


class NoSuchStaff(Refusal):
    code = "grant_no_such_staff"
    message = "没有这个账号，或账号已停用"


class OtherPerson(Refusal):
    code = "grant_other_person"
    message = "账号的人员编号在申请之后改过，请重新申请"


class NotGrantable(Refusal):
    """Or else the account is the sealed one, which never becomes somebody's."""

    code = "grant_not_grantable"
    message = "没有这个角色，或该账号、该角色不能授予"


class OfVendor(Refusal):
    code = "grant_vendor"
    message = "厂商人员只能授予系统管理员角色（只读）"


class CampusNeeded(Refusal):
    code = "grant_campus"
    message = "登记员须指定一个院区，其他角色不指定院区"


class LabelUnfit(Refusal):
    code = "grant_label"
    message = "安全标记与角色不符：三员须为“内部”，登记员、个保负责人须为“敏感”或“直接标识”"


class HeldAlready(Refusal):
    code = "grant_held"
    message = "该账号的角色、院区和安全标记已经是这样"


class NoRole(Refusal):
    code = "grant_no_role"
    message = "该账号没有角色"


def stated(staff: Staff, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request to give somebody this states: `GIVEN`, to whom, and who that is."""
    return {"staff": str(staff.pk), "person": _person(staff), **given}


def check(facts: Mapping[str, Any], _at: datetime) -> None:
    """:raises Refusal: no such account, another person's by now, or what does not go together"""
    _demand_fit(_found(facts), facts)


def concerned(facts: Mapping[str, Any]) -> frozenset[str]:
    """Nobody has a part in a role of their own."""
    return frozenset({str(facts["staff"])})


def told(facts: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return what is to be given to whom, in words."""
    who = names.get(facts["staff"], facts["staff"])
    campus = f"，院区 {campuses.name(facts['campus'])}" if facts["campus"] else ""
    role, label = Role(facts["role"]).label, Label(facts["clearance"]).label
    return f"{who}：{role}{campus}，安全标记 {label}"


def carry_out(proposal: Proposal, at: datetime) -> None:
    """:raises Refusal: what `check` refuses, `succession.LastOne`, or `proposing.AskerGone`"""
    facts = proposal.facts
    demand_asker(proposal)
    staff = succession.locked(_found(facts))
    _demand_fit(staff, facts)
    if facts["role"] != staff.role:
        succession.demand_another(staff)
    given = {name: facts[name] for name in GIVEN}
    _give(staff, given, by=SYSTEM, at=at, proposal=proposal.pk)


@transaction.atomic
def take_away(staff: Staff, *, by: Staff, at: datetime) -> None:
    """
    Take somebody's role away, and with it campus and clearance. Their session ends.

    :raises OwnAct, NoRole, NotGrantable, LastOne:
    """
    if by.pk == staff.pk:
        raise OwnAct
    held = succession.locked(staff)
    if held.role in SEALED:
        raise NotGrantable
    if not held.role:
        raise NoRole
    succession.demand_another(held)
    _give(held, NOTHING, by=by, at=at)


def begin_anew(staff: Staff, *, by: Staff, at: datetime) -> bool:
    """Take what it had from an account that was just enabled again; return whether it had any."""
    held = Staff.objects.select_for_update().get(pk=staff.pk)
    if not held.role:
        return False
    _give(held, NOTHING, by=by, at=at)
    return True


def _give(
    staff: Staff, given: Mapping[str, Any], *, by: HasActor | Actor, at: datetime, **facts: Any
) -> None:
    # A new number: what is given back one day must not bring a session of today's back with it.
    number = F("session_number") + 1
    Staff.objects.filter(pk=staff.pk).update(**given, session_number=number)
    record(
        Action.ROLE_ASSIGN,
        by=by,
        on=staff,
        at=at,
        before=staff.role,
        after=given["role"],
        campus=given["campus"],
        clearance=given["clearance"],
        **facts,
    )


def _found(facts: Mapping[str, Any]) -> Staff:
    try:
        return Staff.objects.get(pk=UUID(str(facts["staff"])), is_active=True)
    except (ValueError, Staff.DoesNotExist):
        raise NoSuchStaff from None


def _person(staff: Staff) -> str:
    """Return a keyed digest of whose account it is: the trail shall not say it."""
    salt = "hospital.accounts.granting.person"
    return salted_hmac(salt, f"{staff.pk} {staff.person_id}", algorithm="sha256").hexdigest()


def _demand_fit(staff: Staff, facts: Mapping[str, Any]) -> None:
    role, campus, clearance = facts["role"], facts["campus"], facts["clearance"]
    if not staff.is_active:
        raise NoSuchStaff
    if facts["person"] != _person(staff):
        raise OtherPerson
    if role not in roles.GRANTS or SEALED & {role, staff.role}:
        raise NotGrantable
    if staff.is_vendor and role != Role.SYSTEM:
        raise OfVendor
    if campus not in (settings.CAMPUSES if role in OF_A_CAMPUS else {""}):
        raise CampusNeeded
    if clearance not in _labels(Role(role)):
        raise LabelUnfit
    if (role, campus, clearance) == (staff.role, staff.campus, staff.clearance):
        raise HeldAlready


def _labels(role: Role) -> set[Label]:
    """Return the clearances with which a role can do its work, and no more than that."""
    if role in ADMINISTRATORS:
        return {Label.INTERNAL}
    least = Label.SENSITIVE if role in ABOUT_PATIENTS else Label.INTERNAL
    return {label for label in Label if label >= least}


KIND: Final = Kind(
    tag="role.grant",
    label="授予角色",
    asks=May.ASSIGN_ROLES,
    decides=May.APPROVE_ROLES,
    facts=frozenset({"staff", "person", *GIVEN}),
    check=check,
    carry_out=carry_out,
    concerned=concerned,
    told=told,
    is_final=False,
)
