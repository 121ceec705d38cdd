"""
How long a login lasts: until nobody did anything for a while, or for a working day at most.

Both are counted on the server, by the policy as it is at that moment. An account has one login: a
new one ends the one before.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F

from hospital import policy
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record

CAME: Final = "came_at"  # seconds since 1970
SEEN: Final = "seen_at"
_MOST: Final = 5_000  # rows looked through for others of an account; a hospital has fewer at once


def begin(staff: Staff, session: SessionBase, *, at: datetime) -> bool:
    """
    Make `session` the one login of `staff`; return whether there was another.

    In a transaction of its own: of two logins at once the later one stays.
    """
    with transaction.atomic():
        Staff.objects.filter(pk=staff.pk).update(session_number=F("session_number") + 1)
        staff.refresh_from_db(fields=["session_number"])
    session[HASH_SESSION_KEY] = staff.get_session_auth_hash()
    session[CAME] = session[SEEN] = at.timestamp()
    return _end_others(staff, session, at=at)


def touch(session: SessionBase, *, at: datetime) -> None:
    """Somebody is there."""
    session[SEEN] = at.timestamp()


def is_over(session: SessionBase | dict[str, Any], *, at: datetime) -> str:
    """Return why a login has ended by itself: "idle", "absolute"; "" if it has not."""
    idle = timedelta(minutes=policy.value("SESSION_IDLE_MINUTES")).total_seconds()
    absolute = timedelta(hours=policy.value("SESSION_ABSOLUTE_HOURS")).total_seconds()
    now = at.timestamp()
    if now - float(session.get(CAME, 0)) >= absolute:
        return "absolute"
    return "idle" if now - float(session.get(SEEN, 0)) >= idle else ""


def end(staff: Staff, session: SessionBase, why: str, *, at: datetime) -> None:
    """
    End a login that is over, on record.

    :raises TrailUnavailable: it stays over, and ends with the next request that can be recorded
    """
    with transaction.atomic():
        record(Action.SESSION_TIMEOUT, by=staff, on=staff, at=at, kind=why)
    session.flush()


def _end_others(staff: Staff, session: SessionBase, *, at: datetime) -> bool:
    """Their session is dead already, since it has an old number; take its row away as well."""
    idle = timedelta(minutes=policy.value("SESSION_IDLE_MINUTES"))
    # A row lives for so long after the last click: only those whose login has not ended.
    life = timedelta(seconds=session.get_session_cookie_age())
    rows = Session.objects.filter(expire_date__gt=at - idle + life)
    found = False
    for row in rows.exclude(session_key=session.session_key)[:_MOST]:
        said = row.get_decoded()
        if said.get(SESSION_KEY) == str(staff.pk) and not is_over(said, at=at):
            row.delete()
            found = True
    return found
