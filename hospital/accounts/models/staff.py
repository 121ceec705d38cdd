from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.validators import ASCIIUsernameValidator
from django.db import models, transaction
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac
from uuid6 import uuid7

from hospital import roles
from hospital.audit.coverage import changes_recorded
from hospital.audit.recording import Actor
from hospital.labels import Label
from hospital.roles import May, Role


class StaffManager(BaseUserManager["Staff"]):
    def create_user(self, username: str, password: str, **fields: Any) -> "Staff":
        staff = self.model(username=username, **fields)
        staff.set_password(password)
        staff.save(using=self._db)
        return staff


@changes_recorded(but={"last_login", "session_number"})
class Staff(AbstractBaseUser):
    """One natural person, one account, one role. No superuser exists (compliance: 三员分立)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = models.CharField(
        "工号", max_length=32, unique=True, validators=[ASCIIUsernameValidator()]
    )
    display_name = models.CharField("显示名", max_length=32)
    person_id = models.CharField(
        "人员编号", max_length=32, unique=True, help_text="人事系统中的编号：一人一号，一人一角色"
    )
    role = models.CharField("角色", max_length=16, choices=Role.choices, blank=True)
    campus = models.SlugField("院区", max_length=16, blank=True)  # a code of settings.CAMPUSES
    clearance = models.PositiveSmallIntegerField(
        "安全标记", choices=Label.choices, default=Label.INTERNAL
    )
    is_active = models.BooleanField("启用", default=True)
    is_vendor = models.BooleanField("厂商人员", default=False)
    valid_until = models.DateTimeField("有效期至", null=True, blank=True)
    created_at = models.DateTimeField("建立时间", auto_now_add=True)
    # Since when idleness counts: an account that was enabled again begins anew.
    enabled_at = models.DateTimeField(default=timezone.now, editable=False)
    password_changed_at = models.DateTimeField(default=timezone.now, editable=False)
    must_change_password = models.BooleanField(default=False, editable=False)
    # Which of this account's sessions is the live one: the others do not know its number.
    session_number = models.PositiveIntegerField(default=0, editable=False)

    USERNAME_FIELD = "username"
    # What Django's admin asks of a user; the answer is the role's, never a flag's.
    is_staff = True
    is_superuser = False
    is_being_made = False  # by the `save` that is going on, or was the last

    objects = StaffManager()

    class Meta:
        verbose_name = verbose_name_plural = "账号"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(role__in=["", *Role.values]), name="staff_role_known"
            ),
            models.CheckConstraint(
                condition=models.Q(is_vendor=False)
                | models.Q(valid_until__isnull=False, role__in=["", Role.SYSTEM]),
                name="staff_vendor_ends",
            ),
            # The three administrators never see a person's data, whatever they are cleared for.
            models.CheckConstraint(
                condition=~models.Q(role__in=roles.ADMINISTRATORS)
                | models.Q(clearance=Label.INTERNAL),
                name="staff_administrator_label",
            ),
        ]

    def __str__(self) -> str:
        return self.username

    def get_session_auth_hash(self) -> str:
        """
        Return what a session must know to be this account's live one.

        It ends with a new login, password, role, campus or clearance, and with the account.
        """
        parts = (
            self.password,
            self.role,
            self.campus,
            str(self.clearance),
            str(self.is_active),
            str(self.session_number),
        )
        salt = "hospital.accounts.session"
        return salted_hmac(salt, "\x1f".join(parts), algorithm="sha256").hexdigest()

    def has_ended(self, *, at: datetime) -> bool:
        """Whether the account is past its end."""
        return self.valid_until is not None and self.valid_until <= at

    @property
    def actor(self) -> Actor:
        return Actor("staff", str(self.pk), self.role)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, in one transaction with what `hospital.accounts.passwords` records of it."""
        self.is_being_made = self._state.adding
        with transaction.atomic():
            super().save(*args, **kwargs)

    def may(self, right: May) -> bool:
        return roles.may(self, right)

    # Django's admin asks these; `hospital.admin` decides per page, so nothing is granted here.
    def has_perm(self, _perm: str, _obj: object = None) -> bool:
        return False

    def has_module_perms(self, _label: str) -> bool:
        return bool(self.is_active and self.role)


def staff_of(request: HttpRequest) -> Staff:
    """Return who is logged in; for pages that let nobody else in."""
    person: object = request.user
    assert isinstance(person, Staff)  # noqa: S101 (the admin site saw to it)
    return person


@changes_recorded(on="staff")
class UsedPassword(models.Model):
    """A password somebody had, hashed: it is not to come back soon."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    staff = models.ForeignKey(Staff, models.CASCADE, related_name="used_passwords")
    password = models.CharField(max_length=128)
    at = models.DateTimeField()
