"""A restore for a try: all of it, into databases that are dropped at its end."""

import time
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from hospital.audit import holding
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.backup import restoring
from hospital.backup.engines import Trouble, grounds
from hospital.backup.envelopes import Damaged, WrongIdentity
from hospital.backup.restoring import AtWork, Refused, Source, Told

SCRATCH: Final = "_drill"


def drill(one: Source, *, told: Told) -> dict[str, Any]:
    """
    Restore it, look at what came of it, drop that; return it, with `seconds`. Both ends are told.

    :raises Refused, Trouble, Damaged, WrongIdentity: it could not be restored, as the trail says
    :raises AtWork: another drill is at it
    """
    # On PostgreSQL wherever they run: they would load the same databases.
    lock = holding.hold(settings.VAR_DIR, of="drill")
    with holding.alone(lock, refusal=AtWork("另一次恢复演练正在进行")):
        return _drilled(one, told=told)


def _drilled(one: Source, *, told: Told) -> dict[str, Any]:
    ours, began = grounds(), time.monotonic()
    try:
        for ground in ours.values():
            ground.demand_tools()
        manifests = restoring.examined(one, ours, told=told)
        found = restoring.loaded(one, ours, manifests, SCRATCH, note={}, told=told)
        restoring.removed(ours, SCRATCH)
    except (Refused, Trouble, Damaged, WrongIdentity) as exc:
        _say(one, began, outcome="failed", code=type(exc).__name__.lower())
        raise
    kept = {name: found[name] for name in ("rows", "erasures", "findings", "total")}
    seconds = _say(one, began, outcome="failed" if found["findings"] else "success", **kept)
    return {**found, "seconds": seconds}


def _say(one: Source, began: float, *, outcome: Any, **facts: Any) -> int:
    seconds = round(time.monotonic() - began)
    with transaction.atomic():
        record(
            Action.BACKUP_DRILL,
            by=SYSTEM,
            on=None,
            at=timezone.now(),
            outcome=outcome,
            seconds=seconds,
            **one.facts,
            **facts,
        )
    return seconds
