"""The three administrators check each other, so none of the three offices may stand empty."""

from django.db.models import Q

from hospital.accounts.models import Staff
from hospital.errors import Refusal
from hospital.roles import ADMINISTRATORS


class LastOne(Refusal):
    code = "last_administrator"
    message = "该角色没有另一个能登录且不设有效期的账号，请先给另一人授予同一角色"


def locked(staff: Staff) -> Staff:
    """
    Return the account as it is now, held for this transaction with everybody of its office.

    Whoever is about to have somebody leave begins here: two who held one row each, and then wanted
    the office, would wait for each other for ever.

    :raises Staff.DoesNotExist:
    """
    mine = Q(pk=staff.pk)
    if staff.role in ADMINISTRATORS:
        mine |= Q(role=staff.role, is_active=True)
    held = {one.pk: one for one in Staff.objects.select_for_update().filter(mine).order_by("pk")}
    if staff.pk not in held:
        raise Staff.DoesNotExist
    return held[staff.pk]


def demand_another(staff: Staff) -> None:
    """
    Demand that somebody else holds the office `staff` is about to leave.

    That is somebody who can log in, and whose account does not end by itself. Two who leave at
    once are held up by each other's rows until the transaction ends.

    :raises LastOne:
    """
    if staff.role not in ADMINISTRATORS or not staff.is_active:
        return
    office = Staff.objects.select_for_update().filter(role=staff.role, is_active=True)
    # In the order of their keys: two who wait for each other must not wait for ever.
    if not any(one.pk != staff.pk and _stays(one) for one in office.order_by("pk")):
        raise LastOne


def _stays(staff: Staff) -> bool:
    return staff.valid_until is None and not staff.is_vendor and staff.has_usable_password()
