"""
What a password must be, how long it is one, and that its changes are on record.

Django asks each validator of the settings. The numbers are the policy's.
"""

import secrets
import string
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth.hashers import check_password, make_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.signals import post_save
from django.utils import timezone

from hospital import policy, tracing
from hospital.accounts.models import Staff, UsedPassword
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.parameters import BY_KEY

CLASSES: Final = 3  # of four: upper and lower case, digits, everything else
SHORTEST_PART: Final = 3  # characters of a name that may not be in it
# 24 characters of 58: nobody guesses it, and none of them is taken for another.
ONE_TIME_LENGTH: Final = 24
_UNMISTAKABLE: Final = "".join(
    sorted(set(string.ascii_letters + string.digits) - set("0O1lI"))
)  # what is read out or typed from paper
# What is remembered at most: as many as the policy may ask for, and the one in use.
_REMEMBERED: Final = BY_KEY["PASSWORD_HISTORY"].most + 1


def is_due(staff: Staff, *, at: datetime) -> bool:
    """Whether nothing is open to them but to change their password."""
    age = timedelta(days=policy.value("PASSWORD_MAX_AGE_DAYS"))
    return staff.must_change_password or staff.password_changed_at + age <= at


def issue(staff: Staff, *, at: datetime) -> str:
    """
    Give `staff` a password for one login and return it: shown once, kept nowhere.

    Their sessions end. The caller records why, in the same transaction.
    """
    while not _is_varied(password := _random()):
        pass
    if staff.has_usable_password():
        keep(staff, at=staff.password_changed_at)
    staff.password = make_password(password)
    staff.must_change_password = True
    staff.password_changed_at = at
    staff.save(update_fields=["password", "must_change_password", "password_changed_at"])
    keep(staff, at=at)
    return password


def keep(staff: Staff, *, at: datetime) -> None:
    """
    Remember the password they have, which is not to come back soon. Once, however often called.

    :param at: since when they have it
    """
    UsedPassword.objects.get_or_create(staff=staff, password=staff.password, defaults={"at": at})
    old = UsedPassword.objects.filter(staff=staff).order_by("-at", "-id")[_REMEMBERED:]
    UsedPassword.objects.filter(pk__in=[one.pk for one in old]).delete()


class Long:
    """At least as long as the policy says."""

    def validate(self, password: str, user: Staff | None = None) -> None:
        if len(password) < policy.value("PASSWORD_MIN_LENGTH"):
            raise ValidationError(f"{self.get_help_text()}。", code="password_too_short")

    def get_help_text(self) -> str:
        return f"密码至少 {policy.value('PASSWORD_MIN_LENGTH')} 个字符"


class Varied:
    """Three of: upper case, lower case, digits, everything else."""

    def validate(self, password: str, user: Staff | None = None) -> None:
        if not _is_varied(password):
            raise ValidationError(f"{self.get_help_text()}。", code="password_too_plain")

    def get_help_text(self) -> str:
        return "大写字母、小写字母、数字、其他符号中至少有三种"


class NotTheirName:
    """Nothing of who they are is in it."""

    def validate(self, password: str, user: Staff | None = None) -> None:
        if user is None:
            return
        typed = password.casefold()
        known = (user.username, user.display_name, user.person_id)
        # A Chinese name is whole in two characters.
        told = [one.casefold() for one in known if len(one) >= SHORTEST_PART or not one.isascii()]
        if any(len(one) > 1 and one in typed for one in told):
            raise ValidationError(f"{self.get_help_text()}。", code="password_names_them")

    def get_help_text(self) -> str:
        return "密码不能包含工号、姓名或人员编号"


class NotUsedBefore:
    """Neither the present one nor one of the last before; keeps it, and records the change."""

    def validate(self, password: str, user: Staff | None = None) -> None:
        if user is None or user.is_being_made:
            return
        used = UsedPassword.objects.filter(staff=user).exclude(password=user.password)
        hashes = used.order_by("-at", "-id").values_list("password", flat=True)
        hashes = hashes[: policy.value("PASSWORD_HISTORY")]
        if any(check_password(password, one) for one in {*hashes, user.password}):
            raise ValidationError(f"{self.get_help_text()}。", code="password_used_before")

    def get_help_text(self) -> str:
        return f"不能与最近用过的 {policy.value('PASSWORD_HISTORY')} 个密码相同"

    def password_changed(self, password: str, user: Staff) -> None:
        """Called in the transaction that saved it (`Staff.save`)."""
        if user.is_being_made:
            return  # which is on record by itself
        now = timezone.now()
        user.password_changed_at, user.must_change_password = now, False
        # Outside of a request it is an operator's command that changes it.
        by = user if tracing.current().request_id else SYSTEM
        with transaction.atomic():
            Staff.objects.filter(pk=user.pk).update(
                password_changed_at=now, must_change_password=False
            )
            keep(user, at=now)
            record(Action.PASSWORD_CHANGE, by=by, on=user, at=now)


def connect() -> None:
    post_save.connect(_rehashed, sender=Staff, dispatch_uid="trail")


def _rehashed(instance: Staff, update_fields: frozenset[str] | None, **_kwargs: Any) -> None:
    """A password that is right is hashed anew where newer settings ask for more work."""
    is_new_password = getattr(instance, "_password", None) is not None
    if update_fields == frozenset({"password"}) and not is_new_password:
        kept = UsedPassword.objects.filter(staff=instance, at=instance.password_changed_at)
        kept.update(password=instance.password)  # one password, remembered once
        record(Action.PASSWORD_REHASH, by=SYSTEM, on=instance, at=timezone.now())


def _is_varied(password: str) -> bool:
    found = {
        "upper" if one.isupper() else "lower" if one.islower() else "digit"
        if one.isdigit() else "other"
        for one in password
    }  # fmt: skip
    return len(found) >= CLASSES


def _random() -> str:
    return "".join(secrets.choice(_UNMISTAKABLE) for _ in range(ONE_TIME_LENGTH))
