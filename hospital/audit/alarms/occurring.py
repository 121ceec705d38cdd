"""Whether something that goes on is a finding already."""

from datetime import datetime

from hospital.audit.detection import beginning
from hospital.audit.findings import Finding


def covered_until(kind: str, about: str, *, at: datetime) -> datetime | None:
    """
    Return until when what happened belongs to the last finding of this kind and about this.

    While it is open that is now: whoever settles it sees what came meanwhile. None: there is none.
    """
    last = Finding.objects.filter(key__startswith=beginning(kind, about)).order_by("-id").first()
    if last is None:
        return None
    return last.settled_at or at
