"""Accounts nobody uses any more, and those past their end, are stopped (8.1.4.2 c)."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q

from hospital import policy, roles
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record


def stop(*, at: datetime) -> int:
    """
    Stop what is past its end or was not used for too long; return how many.

    The last account that is left of an administrator's role stays, with an alert: without it
    nobody could let anybody else in again.
    """
    since = at - timedelta(days=policy.value("DORMANT_DAYS"))
    unused = Q(last_login=None) | Q(last_login__lte=since)
    found = Staff.objects.filter(
        Q(valid_until__lte=at) | Q(unused, enabled_at__lte=since), is_active=True
    ).exclude(role__in=roles.SEALED)  # which has an hour, and ends on a record of its own
    return sum(_stop(pk, since, at) for pk in found.values_list("pk", flat=True).order_by("pk"))


def _stop(pk: UUID, since: datetime, at: datetime) -> bool:
    with transaction.atomic():
        # All of their role, in one order: of two that are the last ones only one is stopped.
        role = Staff.objects.values_list("role", flat=True).get(pk=pk)
        peers = {
            one.pk: one
            for one in Staff.objects.select_for_update()
            .filter(Q(pk=pk) | Q(role=role), is_active=True)
            .order_by("pk")
        }
        staff = peers.pop(pk, None)
        code = _why(staff, since, at) if staff else ""
        if not staff or not code:  # somebody was faster, or they have just come
            return False
        may_come = [one for one in peers.values() if not one.is_vendor and not one.has_ended(at=at)]
        if role in roles.ADMINISTRATORS and not may_come:
            record(Action.STAFF_LAST, by=SYSTEM, on=staff, at=at, code=code)
            return False
        Staff.objects.filter(pk=pk).update(is_active=False, session_number=F("session_number") + 1)
        record(Action.STAFF_DISABLE, by=SYSTEM, on=staff, at=at, code=code)
        return True


def _why(staff: Staff, since: datetime, at: datetime) -> str:
    if staff.has_ended(at=at):
        return "ended"
    last = max(staff.last_login or staff.enabled_at, staff.enabled_at)
    return "dormant" if last <= since else ""
