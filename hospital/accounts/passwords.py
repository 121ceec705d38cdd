"""What happens to passwords, on record. Django calls this beside its other validators."""

from django.db import transaction
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
        if user.last_login is None:
            return  # an account being made, which is on record by itself
        # Outside of a request it is an operator's command that changes it.
        by = user if tracing.current().request_id else SYSTEM
        with transaction.atomic():
            record(Action.PASSWORD_CHANGE, by=by, on=user, at=timezone.now())

    def get_help_text(self) -> str:
        return ""
