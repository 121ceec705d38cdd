"""How old the last good backup is, as the trail says: on whatever machine it was made."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings

from hospital.audit.actions import Action
from hospital.audit.models import Event

LATE: Final = timedelta(hours=26)  # one a day, and time to make it
DRILLED: Final = timedelta(days=92)  # a quarter


@dataclass(frozen=True)
class Standing:
    """
    :param is_configured: whether there is anybody to seal backups to
    :param made_at: when the last one was on disk and read back; None if there is none
    :param drilled_at: when one was last restored for a try, and found whole
    """

    is_configured: bool
    made_at: datetime | None
    drilled_at: datetime | None
    at: datetime

    @property
    def age_seconds(self) -> float | None:
        return (self.at - self.made_at).total_seconds() if self.made_at else None

    @property
    def drill_age_seconds(self) -> float | None:
        return (self.at - self.drilled_at).total_seconds() if self.drilled_at else None

    @property
    def is_late(self) -> bool:
        return self.made_at is None or self.at - self.made_at > LATE

    @property
    def is_drill_due(self) -> bool:
        return self.drilled_at is None or self.at - self.drilled_at > DRILLED


def standing(at: datetime) -> Standing:
    """
    Return how it stands.

    :raises DatabaseError: nobody can tell
    """
    is_configured = bool(settings.BACKUP_RECIPIENTS_FIRST and settings.BACKUP_RECIPIENTS_SECOND)
    return Standing(is_configured, _last(Action.BACKUP_MAKE), _last(Action.BACKUP_DRILL), at)


def _last(action: Action) -> datetime | None:
    done = Event.objects.filter(action=action.value.tag, outcome="success")
    event = done.order_by("-at_us", "-id").only("at_us").first()
    return event.at if event else None
