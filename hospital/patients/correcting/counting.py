"""How often one person asks within a day; what was refused counts as well."""

from datetime import datetime
from typing import Final

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.times import micros
from hospital.errors import Refusal

ASKS: Final = 20  # of one person within a day; the ones that were refused count as well
UNTOLD: Final = "没有成为申请"  # in the trail, for a reason that may say who it is about


class TooManyAsked(Refusal):
    """Each of them compares what somebody typed with what is on record."""

    code = "correction_too_many"
    message = f"24 小时内最多申请 {ASKS} 次更正，请由同事申请"


def counted(by: Staff, *, since: datetime) -> int:
    """Return how often they asked, so far as it is on record."""
    asked = Event.objects.filter(
        actor_id=str(by.pk), action=Action.CORRECTION_ASK.value.tag, at_us__gt=micros(since)
    )
    return asked.count()  # of one person's day, and no more than a few above `ASKS`
