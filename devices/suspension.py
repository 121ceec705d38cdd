"""Stop a terminal, and let it go on. Both bite on its next request."""

from datetime import datetime

from django.db import IntegrityError, transaction

from devices.models import Suspension, Terminal
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal


class AlreadySuspended(Refusal):
    code = "already_suspended"
    message = "该终端已停用"


class NotSuspended(Refusal):
    code = "not_suspended"
    message = "该终端没有停用"


@transaction.atomic
def suspend(terminal: Terminal, *, by: Staff, at: datetime, reason: str) -> None:
    """:raises AlreadySuspended: somebody was faster."""
    try:
        with transaction.atomic():
            Suspension.objects.create(terminal=terminal, by=by, at=at, reason=reason)
    except IntegrityError:
        raise AlreadySuspended from None
    record(Action.TERMINAL_SUSPEND, by=by, on=terminal, at=at, reason=reason)


@transaction.atomic
def resume(terminal: Terminal, *, by: Staff, at: datetime) -> None:
    """:raises NotSuspended: nothing to lift."""
    if not Suspension.objects.filter(terminal=terminal).delete()[0]:
        raise NotSuspended
    record(Action.TERMINAL_RESUME, by=by, on=terminal, at=at)
