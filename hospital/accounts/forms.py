"""The form on which staff change their own password."""

from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from hospital.accounts import lockout, passwords
from hospital.accounts.models import Staff


class OwnPassword(AdminPasswordChangeForm):
    """Asking for the old one is a place to guess it, and counted like the others."""

    def clean_old_password(self) -> str:
        username = self.user.get_username()
        has_try = lockout.take(username)
        try:
            old: str = super().clean_old_password()
        except ValidationError:
            user_login_failed.send(__name__, credentials={"username": username}, request=None)
            raise
        if not has_try:  # right or not, and told neither
            raise ValidationError(
                self.error_messages["password_incorrect"], code="password_incorrect"
            )
        lockout.give_back(username)
        return old

    def save(self, commit: bool = True) -> Staff:
        """
        Change the password and nothing else of whoever this login still is.

        :raises PermissionDenied: it ended meanwhile, with another password, role or login
        """
        with transaction.atomic():
            person = Staff.objects.select_for_update().get(pk=self.user.pk)
            seen, now = self.user.get_session_auth_hash(), timezone.now()
            is_same = constant_time_compare(person.get_session_auth_hash(), seen)
            if not is_same or not person.is_active or person.has_ended(at=now):
                raise PermissionDenied
            passwords.keep(person, at=person.password_changed_at)
            person.set_password(self.cleaned_data["new_password1"])
            person.save(update_fields=["password"])
        self.user = person
        return person
