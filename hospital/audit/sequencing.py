"""
Events get their place: what is pending becomes leaves, in one transaction.

The queue is filled by the database with each event, so an event that was committed late, with a
small id, is found like any other. What is wrong with an event never keeps it out, or the others.
"""

import hmac
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction

from hospital.audit import canonical, reading
from hospital.audit.actions import Action
from hospital.audit.log import Pending
from hospital.audit.merkle import leaf_hash
from hospital.audit.recording import SYSTEM, mac, record
from hospital.audit.tree import Tree

BATCH: Final = 5_000  # events in one transaction
NAMED: Final = 50  # events a finding names

# The ids are one parameter: thousands of placeholders take longer than the query.
_AMONG: Final = {
    "postgresql": "= ANY(%s)",
    "sqlite": "IN (SELECT value FROM json_each(%s))",
}
_TAKE = (
    "DELETE FROM audit_pending WHERE event_id IN"
    " (SELECT event_id FROM audit_pending ORDER BY event_id LIMIT %s) RETURNING event_id"
)


def sequence(tree: Tree, *, at: datetime) -> int:
    """
    Give the oldest pending events their leaves; return how many were taken from the queue.

    What is wrong with any of them is an event of its own, and comes next.

    :raises IntegrityError: somebody put a row where one of ours belongs
    """
    if not Pending.objects.exists():
        return 0
    findings: dict[str, list[int]] = {"altered": [], "missing": [], "again": []}
    with transaction.atomic():
        taken = _take()
        tree.append(_leaves(taken, findings, size=tree.size))
        for kind, events in findings.items():
            if events:
                record(
                    Action.AUDIT_FINDING,
                    by=SYSTEM,
                    on=None,
                    at=at,
                    kind=kind,
                    count=len(events),
                    events=[str(event) for event in events[:NAMED]],
                )
    return len(taken)


def tombstone(event_id: int) -> bytes:
    """Return the leaf of an event that was removed before it could be sealed."""
    return canonical.line({"v": 1, "missing": event_id}).encode()


def _take() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [BATCH])
        # With SQLite a queue may hold what is no id; out of it with that.
        return sorted(event_id for (event_id,) in cursor.fetchall() if isinstance(event_id, int))


def _leaves(
    taken: list[int], findings: dict[str, list[int]], *, size: int
) -> Iterator[tuple[int, bytes]]:
    events = _among(taken, "SELECT id, payload, mac FROM audit_event WHERE id")
    lines = {pk: (reading.encoded(payload), reading.octets(code)) for pk, payload, code in events}
    # A leaf beyond the log seals nothing.
    leaves = _among(taken, 'SELECT event_id, "index" FROM audit_leaf WHERE event_id')
    sealed = {pk for pk, index in leaves if isinstance(index, int) and index < size}
    for event_id in taken:
        if event_id in sealed:
            findings["again"].append(event_id)
            continue
        if event_id not in lines:
            findings["missing"].append(event_id)
            yield event_id, leaf_hash(tombstone(event_id))
            continue
        payload, code = lines[event_id]
        if not hmac.compare_digest(mac(payload), code):
            findings["altered"].append(event_id)
        yield event_id, leaf_hash(payload)


def _among(ids: list[int], question: str) -> list[tuple[Any, ...]]:
    given = ids if connection.vendor == "postgresql" else json.dumps(ids)
    return reading.rows(f"{question} {_AMONG[connection.vendor]}", [given])
