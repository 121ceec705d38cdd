"""A copy that somebody asked for: asked, taken once, gone. Each step is on record."""

import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet

from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.exporting import bundle, places, sending, storing
from hospital.audit.exporting.selecting import Filters, NotSealed, Range, Selection, signed
from hospital.audit.exporting.sending import Lost, Sending
from hospital.audit.exports import Export
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.errors import Refusal

MOST: Final = 3  # copies a person may have asked for and not fetched yet
OPERATOR: Final = UUID(int=0)  # asked for on the command line
UNSEEN: Final[dict[str, None]] = {"seen_at": None}  # the security administrator is told anew
OPEN: Final = (Export.State.QUEUED, Export.State.RUNNING, Export.State.READY)

_UNSEEN_LETTERS: Final = (
    "\u115f\u1160\u3164\uffa0\u2800\ufffd"  # fillers, and what took a sign's place
)

logger = structlog.get_logger(__name__)


class NoReason(Refusal):
    code = "no_reason"
    message = "请写明导出的用途和理由"


class NotReady(Refusal):
    code = "not_ready"
    message = "文件已被下载、已过期或尚未生成；需要时请重新申请"


class TooMany(Refusal):
    code = "too_many"
    message = f"已有 {MOST} 份导出没有下载：先下载，或等它们过期"


def request(
    selection: Selection,
    *,
    purpose: str,
    reason: str,
    by: HasActor | Actor,
    requested_by: UUID,
    at: datetime,
) -> Export:
    """
    Ask for a copy.

    :raises NoReason:
    :raises TooMany:
    :raises NotSealed: the range reaches beyond the last checkpoint
    :raises Removed: the range reaches into what was removed
    """
    reason = canonical.text(reason.strip())
    if not _says_something(reason) or purpose not in Export.Purpose:
        raise NoReason
    theirs = Export.objects.filter(requested_by=requested_by, state__in=OPEN)
    if requested_by != OPERATOR and theirs.count() >= MOST:
        raise TooMany
    export = Export(purpose=purpose, reason=reason, requested_by=requested_by, requested_at=at)
    facts: dict[str, Any] = {"purpose": purpose}
    if isinstance(selection, Range):
        if selection.end > signed():
            raise NotSealed
        bundle.refuse_removed(selection)
        export.kind, export.start, export.end = Export.Kind.RANGE, selection.start, selection.end
        facts |= {"start": selection.start, "end": selection.end}
    else:
        export.kind, export.filters = Export.Kind.FILTERED, selection.stated
        facts["filters"] = list(selection.stated)  # by name: whom they name is in the row
    with transaction.atomic():
        export.save(force_insert=True)
        record(
            Action.EXPORT_REQUEST, by=by, on=export, at=at, reason=reason, kind=export.kind, **facts
        )
    return export


def take(export: Export, *, by: HasActor | Actor, clock: Callable[[], datetime]) -> Sending:
    """
    Hand the copy out, once: it is on record before the first byte.

    Read twice, since nobody has room for all of it here: once to know that it is the one that was
    made, before it counts as fetched, and once to be sent. The caller closes what is returned.

    :raises NotReady: somebody was faster, or it has expired
    :raises Lost: it is not there, or is not the one that was made
    """
    here = Export.objects.filter(pk=export.pk, state=Export.State.READY)
    ready = here.filter(expires_at__gt=clock()).first()
    if ready is None:
        raise NotReady
    try:
        pieces = sending.examined(ready)
    except Lost:
        if not here.exists():  # taken, and removed, meanwhile
            raise NotReady from None
        logger.error("export.swapped", export=str(export.pk))  # noqa: TRY400 (no fault of ours)
        _end_lost(ready, at=clock())
        raise
    at = clock()  # it may have taken minutes
    taken = {"state": Export.State.TAKEN, "taken_at": at, "lease_until": at + sending.LEASE}
    with transaction.atomic():
        if not here.filter(expires_at__gt=at).update(**taken, **UNSEEN):
            raise NotReady
        record(Action.EXPORT_DOWNLOAD, by=by, on=export, at=at, sha256=ready.sha256)
    return Sending(ready, pieces, clock=clock)


def _end_lost(export: Export, *, at: datetime) -> None:
    """It will not come back, and would count as one that waits to be fetched."""
    here = Export.objects.filter(pk=export.pk, state=Export.State.READY)
    with transaction.atomic():
        if here.update(state=Export.State.FAILED, problem=Lost.code, **UNSEEN):
            record(
                Action.EXPORT_FAIL, by=SYSTEM, on=export, at=at, outcome="failed", code=Lost.code
            )


def see(*, by: HasActor | Actor, at: datetime, shown: Mapping[UUID, str]) -> int:
    """
    Note that the security administrator knows of these exports so far; return of how many.

    :param shown: how far each was when they were shown it (`step`); a later step they have not seen
    """
    with transaction.atomic():
        count = 0
        for export in unseen().select_for_update().filter(pk__in=shown):
            if step(export) == shown[export.pk]:
                count += unseen().filter(pk=export.pk).update(seen_at=at)
        if count:
            record(Action.EXPORT_SEE, by=by, on=None, at=at, count=count)
    return count


def step(export: Export) -> str:
    """Return the last step the security administrator is told of: that it is made is none."""
    return Export.State.QUEUED if export.state == Export.State.RUNNING else export.state


def unseen() -> QuerySet[Export]:
    """Return those of which a step is not known yet: asked, made or failed, fetched or expired."""
    return Export.objects.filter(seen_at=None)


def selection_of(export: Export) -> Selection:
    if export.start is not None and export.end is not None:
        return Range(export.start, export.end)
    return Filters.of(export.filters)


def expire(*, at: datetime) -> None:
    """Remove what nobody fetched in time, and what no export answers to any more."""
    over = Export.objects.filter(state=Export.State.READY, expires_at__lte=at)
    for export in over:
        with transaction.atomic():
            if not over.filter(pk=export.pk).update(state=Export.State.EXPIRED, **UNSEEN):
                continue
            record(Action.EXPORT_EXPIRE, by=SYSTEM, on=export, at=at)
    storing.remove_left(at=at)
    places.remove_left(at=at)


def _says_something(reason: str) -> bool:
    """Return whether anything of it can be seen."""
    return any(
        unicodedata.category(one)[0] in "LNPS" and one not in _UNSEEN_LETTERS for one in reason
    )
