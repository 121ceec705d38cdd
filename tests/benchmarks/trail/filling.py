"""
Events as a hospital has them, put into the table as fast as it takes them.

Their lines are real: one of each kind is recorded, and repeated with ids and a time of its own. So
are their codes, their columns and their places in the queue, which the database makes.
"""

import itertools
import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from uuid6 import uuid7

from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Actor, mac, record
from hospital.audit.times import EPOCH
from tests.benchmarks.trail.shapes.models import Recorded

A_DAY: Final = 20_000  # events
APART: Final = timedelta(seconds=36_000 / A_DAY)  # from one to the next, in ten hours
_STAFF: Final = [str(uuid7()) for _ in range(50)]
_TERMINALS: Final = [str(uuid7()) for _ in range(200)]
_COLUMNS: Final = "(uid, payload, mac, mac_key)"
_COPY: Final = f"COPY audit_event {_COLUMNS} FROM STDIN"
_INSERT: Final = f"INSERT INTO audit_event {_COLUMNS} VALUES (%s, %s, %s, %s)"  # noqa: S608


def fill(count: int, *, begin: datetime) -> None:
    """Write so many events, one after the other from `begin`."""
    chance, kinds, t = random.Random(count), _kinds(), begin

    def rows() -> Iterator[tuple[Any, ...]]:
        nonlocal t
        for said in itertools.islice(itertools.cycle(kinds), count):
            t += APART * chance.expovariate(1)
            yield _row(said, t, chance)

    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            cursor.executemany(_INSERT, ((uid.hex, *rest) for uid, *rest in rows()))
            return
        with cursor.copy(_COPY) as copy:
            for row in rows():
                copy.write_row(row)


def settle() -> None:
    """Have the database know what it holds, as it does after a night."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def last() -> datetime:
    """Return when the last event was."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(at_us) FROM audit_event")
        [at_us] = cursor.fetchone()
    return EPOCH + timedelta(microseconds=at_us)


def _kinds() -> list[dict[str, Any]]:
    """Return what the events of a day's visits say, each once."""
    with transaction.atomic():
        said = [json.loads(event.payload) for event in _recorded()]
        transaction.set_rollback(True)
    return said


def _recorded() -> Iterator[Any]:
    terminal, staff, one = Actor("terminal", "x"), Actor("staff", "x", "operator"), Recorded(pk=1)
    on: dict[str, Any] = {"on": one, "at": EPOCH}
    yield record(Action.AUTHINFO_ISSUE, by=terminal, cached=True, expires_in=3600, **on)
    yield record(
        Action.SESSION_OPEN,
        by=terminal,
        kind="onboarding",
        notice_version=3,
        notice_digest="a" * 64,
        purposes=["onboarding", "contact"],
        consent=str(uuid7()),
        **on,
    )
    yield record(Action.AUTHINFO_ISSUE, by=terminal, cached=True, expires_in=3600, **on)
    yield record(Action.SESSION_EXPIRE, by=SYSTEM, **on)
    yield record(Action.LOGIN, by=staff, **on)
    yield record(Action.STORE_CHANGE, by=staff, fields=["name", "address"], **on)


def _row(said: dict[str, Any], t: datetime, chance: random.Random) -> tuple[Any, ...]:
    uid, actor = uuid7(), said["actor"]
    ids = {"staff": _STAFF, "terminal": _TERMINALS}.get(actor["type"], [""])
    line = canonical.line(
        {
            **said,
            "uid": str(uid),
            "t": (t - EPOCH) // timedelta(microseconds=1),
            "actor": {**actor, "id": chance.choice(ids)},
            "object": {**said["object"], "id": str(uuid7())},
            "ctx": {"req": uid.hex, "ip": f"10.0.{chance.randrange(9)}.7", "peer": "10.0.0.9"},
        }
    )
    return uid, line, mac(line), 1
