"""What happens to passwords, on record. Django calls this beside its other validators."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_save
from django.utils import timezone

from hospital import tracing
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record


class Trail:
    """Judges nothing; records that a password was changed."""

    def validate(self, password: str, user: Staff | None = None) -> None:
        pass

    def password_changed(self, password: str, user: Staff) -> None:
        if user.is_being_made:
            return  # which is on record by itself
        # Outside of a request it is an operator's command that changes it.
        by = user if tracing.current().request_id else SYSTEM
        with transaction.atomic():
            record(Action.PASSWORD_CHANGE, by=by, on=user, at=timezone.now())

    def get_help_text(self) -> str:
        return ""


def connect() -> None:
    post_save.connect(_rehashed, sender=Staff, dispatch_uid="trail")


def _rehashed(instance: Staff, update_fields: frozenset[str] | None, **_kwargs: Any) -> None:
    """A password that is right is hashed anew where newer settings ask for more work."""
    is_new_password = getattr(instance, "_password", None) is not None
    if update_fields == frozenset({"password"}) and not is_new_password:
        record(Action.PASSWORD_REHASH, by=SYSTEM, on=instance, at=timezone.now())
