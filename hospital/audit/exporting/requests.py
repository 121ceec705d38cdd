"""A copy that somebody asked for: asked, taken once, gone. Each step is on record."""

import re
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.exporting import bundle
from hospital.audit.exporting.selecting import Filters, NotSealed, Range, Selection, signed
from hospital.audit.exports import Export
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.errors import Refusal

ORPHANED: Final = timedelta(hours=6)  # no attempt writes that long into a file
# Names of a copy, of one that is being written, and of what a workbook is made of.
_OURS: Final = re.compile(r"\.?[0-9a-f-]{36}-\d\.zip.*|tmp\w{8}")

OPERATOR: Final = UUID(int=0)  # asked for on the command line


class NoReason(Refusal):
    code = "no_reason"
    message = "请写明导出的用途和理由"


class NotReady(Refusal):
    code = "not_ready"
    message = "文件已被下载、已过期或尚未生成；需要时请重新申请"


class Lost(Refusal):
    code = "lost"
    message = "导出文件不在了，或网页进程无权读取；请告知系统管理员，并重新申请"


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
    :raises NotSealed: the range reaches beyond the last checkpoint
    :raises Removed: the range reaches into what was removed
    """
    reason = canonical.text(reason.strip())
    if not reason or purpose not in Export.Purpose:
        raise NoReason
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


def take(export: Export, *, by: HasActor | Actor, at: datetime) -> IO[bytes]:
    """
    Hand the file out, once: it is on record before the first byte, and has no name any more.

    :raises NotReady: somebody was faster, or it has expired
    :raises Lost: the file cannot be read
    """
    path = path_of(export)
    try:
        file = path.open("rb")
    except OSError:
        if not Export.objects.filter(pk=export.pk, state=Export.State.READY).exists():
            raise NotReady from None
        raise Lost from None
    with ExitStack() as closing:
        closing.enter_context(file)
        with transaction.atomic():
            ready = Export.objects.filter(pk=export.pk, state=Export.State.READY, expires_at__gt=at)
            if not ready.update(state=Export.State.TAKEN, taken_at=at):
                raise NotReady
            record(Action.EXPORT_DOWNLOAD, by=by, on=export, at=at, sha256=export.sha256)
        closing.pop_all()
    path.unlink(missing_ok=True)
    return file


def see(*, by: HasActor | Actor, at: datetime) -> int:
    """Note that the security administrator knows of all exports so far; return of how many."""
    with transaction.atomic():
        count = unseen().update(seen_at=at)
        if count:
            record(Action.EXPORT_SEE, by=by, on=None, at=at, count=count)
    return count


def unseen() -> QuerySet[Export]:
    return Export.objects.filter(seen_at=None)


def selection_of(export: Export) -> Selection:
    if export.start is not None and export.end is not None:
        return Range(export.start, export.end)
    return Filters.of(export.filters)


def path_of(export: Export) -> Path:
    """Return where its file is: each attempt has its own, so that no two write into one."""
    directory: Path = settings.EXPORTS_DIR
    return directory / f"{export.pk}-{export.attempts}.zip"


def expire(*, at: datetime) -> None:
    """Remove what nobody fetched in time, and files no export answers to any more."""
    over = Export.objects.filter(state=Export.State.READY, expires_at__lte=at)
    for export in over:
        with transaction.atomic():
            if not over.filter(pk=export.pk).update(state=Export.State.EXPIRED):
                continue
            record(Action.EXPORT_EXPIRE, by=SYSTEM, on=export, at=at)
        path_of(export).unlink(missing_ok=True)
    _remove_orphans(at)


def _remove_orphans(at: datetime) -> None:
    """Remove what a worker that was killed, or a download, left behind."""
    kept = Export.objects.filter(state__in=[Export.State.RUNNING, Export.State.READY])
    names = {path_of(export).name for export in kept}
    for path in settings.EXPORTS_DIR.glob("*"):
        with suppress(FileNotFoundError):
            is_old = path.stat().st_mtime < (at - ORPHANED).timestamp()
            if is_old and path.name not in names and _OURS.fullmatch(path.name):
                path.unlink()
