"""
Whoever lost their password or their second factor gets in again when two people wanted it.

The system administrator asks, the security administrator approves. Then nothing of the old login
works any more, and who asked fetches a one-time password: made at that moment, and shown once.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.db.models import F

from hospital.accounts import passwords
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind, demand_asker
from hospital.audit.recording import SYSTEM, record
from hospital.errors import Refusal
from hospital.roles import SEALED, May

TAG: Final = "staff.reset"
FETCHABLE: Final = timedelta(days=1)  # since it was carried out


class NoSuchStaff(Refusal):
    code = "reset_no_such_staff"
    message = "没有这个账号，或账号已停用"


class NothingToFetch(Refusal):
    code = "reset_nothing_to_fetch"
    message = "没有可领取的一次性密码：尚未执行、已领取、已过一天，或申请人不是本人"


def check(facts: Mapping[str, Any], _at: datetime) -> None:
    """:raises NoSuchStaff: or it is the sealed account, which has a way of its own"""
    _found(facts)


def concerned(facts: Mapping[str, Any]) -> frozenset[str]:
    """Nobody has a part in a way in of their own."""
    return frozenset({str(facts["staff"])})


def told(facts: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return names.get(facts["staff"], str(facts["staff"]))


def carry_out(proposal: Proposal, at: datetime) -> None:
    """
    End the old way in: password, second factors, sessions.

    :raises NoSuchStaff, AskerGone:
    """
    demand_asker(proposal)
    staff = _found(proposal.facts, lock=True)
    Authenticator.objects.filter(user=staff).delete()
    Staff.objects.filter(pk=staff.pk).update(
        password=make_password(None),
        password_changed_at=at,
        must_change_password=True,
        session_number=F("session_number") + 1,
    )
    record(Action.CREDENTIALS_RESET, by=SYSTEM, on=staff, at=at, proposal=proposal.pk)


def fetchable(staff: Staff, *, by: Staff, at: datetime) -> Proposal | None:
    """Return the reset whose one-time password `by` may fetch now, if there is one."""
    if staff.has_usable_password():
        return None
    done = Proposal.objects.filter(
        kind=TAG,
        facts={"staff": str(staff.pk)},
        state=Proposal.State.DONE,
        asked_by=by.pk,
        done_at__gt=at - FETCHABLE,
    )
    return done.order_by("-id").first()


@transaction.atomic
def fetch(staff: Staff, *, by: Staff, at: datetime) -> str:
    """
    Make a one-time password and return it; only its hash is kept, and nobody can fetch it again.

    :raises NothingToFetch:
    """
    held = Staff.objects.select_for_update().get(pk=staff.pk)
    proposal = fetchable(held, by=by, at=at)
    if proposal is None:
        raise NothingToFetch
    password = passwords.issue(held, at=at)
    record(Action.CREDENTIALS_FETCH, by=by, on=held, at=at, proposal=proposal.pk)
    return password


def _found(facts: Mapping[str, Any], *, lock: bool = False) -> Staff:
    rows = Staff.objects.select_for_update() if lock else Staff.objects.all()
    try:
        pk = UUID(str(facts["staff"]))
        return rows.exclude(role__in=SEALED).get(pk=pk, is_active=True)
    except (ValueError, Staff.DoesNotExist):
        raise NoSuchStaff from None


KIND: Final = Kind(
    tag=TAG,
    label="重置登录方式",
    asks=May.MANAGE_STAFF,
    decides=May.APPROVE_RESETS,
    facts=frozenset({"staff"}),
    check=check,
    carry_out=carry_out,
    concerned=concerned,
    told=told,
    is_final=False,
)
