"""
The sealed account: nobody's own, and shut except while an emergency is open.

One row for ever, so that the trail has one name for it. What lets anybody in (password, second
factors, sessions) is made anew for each use and gone after it.
"""

from datetime import datetime
from itertools import chain, count
from typing import Any, Final

from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import make_password
from django.db.models import F

from hospital.accounts import passwords
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import Actor, record
from hospital.labels import Label
from hospital.roles import Role

USERNAME: Final = "yingji"
PERSON_ID: Final = "SEALED"


def account(*, by: Actor, at: datetime) -> Staff:
    """Return it, locked until the transaction ends; the first time it is made."""
    found, is_new = Staff.objects.select_for_update().get_or_create(
        role=Role.EMERGENCY,
        defaults={
            "username": _free("username", USERNAME),
            "person_id": _free("person_id", PERSON_ID),
            "display_name": Role.EMERGENCY.label,
            "clearance": Label.IDENTIFYING,
            "is_active": False,
            "password": make_password(None),
        },
    )
    if is_new:
        record(Action.STAFF_CREATE, by=by, on=found, at=at, role=Role.EMERGENCY)
    return found


def found() -> Staff | None:
    """Return it, to be told of; None before its first use."""
    return Staff.objects.filter(role=Role.EMERGENCY).first()


def open_(sealed: Staff, *, campus: str, until: datetime, by: Actor, at: datetime) -> None:
    """Let it see one campus until then. Nobody can log in before there is a password."""
    _bar(sealed)
    _set(sealed, by=by, at=at, is_active=True, campus=campus, valid_until=until, enabled_at=at)


def give_password(sealed: Staff, *, by: Actor, at: datetime) -> str:
    """Return a new password; only its hash is kept."""
    password = passwords.issue(sealed, at=at)
    # It lives for an hour: whoever is in a hurry need not think of another one.
    _set(sealed, by=by, at=at, must_change_password=False)
    return password


def shut(sealed: Staff, *, by: Actor, at: datetime) -> None:
    """End it, with its sessions and whatever could open it again."""
    _bar(sealed)
    _set(sealed, by=by, at=at, is_active=False, campus="", valid_until=at)


def _free(field: str, wanted: str) -> str:
    # Somebody may have it from before it was reserved: an emergency does not wait for that.
    names = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
    return next(one for one in names if not Staff.objects.filter(**{field: one}).exists())


def _bar(sealed: Staff) -> None:
    Authenticator.objects.filter(user=sealed).delete()
    Staff.objects.filter(pk=sealed.pk).update(password=make_password(None))


def _set(sealed: Staff, *, by: Actor, at: datetime, **values: Any) -> None:
    Staff.objects.filter(pk=sealed.pk).update(**values, session_number=F("session_number") + 1)
    sealed.refresh_from_db()
    record(
        Action.STAFF_CHANGE,
        by=by,
        on=sealed,
        at=at,
        fields=["password", *values],
        is_active=sealed.is_active,
    )
