"""Whether something that goes on is a finding already."""

from datetime import datetime

from hospital.audit.detection import beginning
from hospital.audit.findings import Finding


def latest(kind: str, about: str) -> Finding | None:
    """Return the last finding of this kind and about this."""
    return Finding.objects.filter(key__startswith=beginning(kind, about)).order_by("-id").first()


def covered_until(kind: str, about: str, *, at: datetime) -> datetime | None:
    """
    Return until when this state of affairs belongs to the last finding about it.

    While that is open it is now. None: there is none.
    """
    last = latest(kind, about)
    return None if last is None else last.settled_at or at
