"""A copy that somebody asked for: asked, taken once, gone. Each step is on record."""

import re
import shutil
import stat
import unicodedata
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.exporting import bundle, checking, places
from hospital.audit.exporting.selecting import Filters, NotSealed, Range, Selection, signed
from hospital.audit.exporting.zipped import SCRATCH
from hospital.audit.exports import Export
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.errors import Refusal

ORPHANED: Final = timedelta(hours=6)  # no attempt writes that long into a file
MOST: Final = 3  # copies a person may have asked for and not fetched yet
_ID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# Names of a copy, of one that is being written, and of what waits to be put into it.
_OURS: Final = re.compile(rf"{_ID}-\d+\.zip|\.{_ID}-\d+\.zip\.new(\.proof\.jsonl|\.events\.xlsx)?")
_OUR_SCRATCH: Final = re.compile(rf"\.{_ID}-\d+\.zip\.new{re.escape(SCRATCH)}")

OPERATOR: Final = UUID(int=0)  # asked for on the command line
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


class Lost(Refusal):
    code = "lost"
    message = "导出文件不在了、被换过，或网页进程无权读取；请告知系统管理员，并重新申请"


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
    :raises Exposed, NoRoom: of the directory
    """
    reason = canonical.text(reason.strip())
    if not _says_something(reason) or purpose not in Export.Purpose:
        raise NoReason
    theirs = Export.objects.filter(requested_by=requested_by, state__in=OPEN)
    if requested_by != OPERATOR and theirs.count() >= MOST:
        raise TooMany
    places.refuse_exposed(settings.EXPORTS_DIR)
    export = Export(purpose=purpose, reason=reason, requested_by=requested_by, requested_at=at)
    facts: dict[str, Any] = {"purpose": purpose}
    if isinstance(selection, Range):
        if selection.end > signed():
            raise NotSealed
        bundle.refuse_removed(selection)
        places.refuse_full(settings.EXPORTS_DIR, rows=selection.end - selection.start)
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
    :raises Lost: the file cannot be read, or is not the one that was made
    :raises Exposed: others can write where it lies
    """
    path = path_of(export)
    places.refuse_exposed(path.parent)
    try:
        file = path.open("rb")
    except OSError:
        if not Export.objects.filter(pk=export.pk, state=Export.State.READY).exists():
            raise NotReady from None
        raise Lost from None
    with ExitStack() as closing:
        closing.enter_context(file)
        if checking.digests_of(file).hex()[0] != export.sha256:
            logger.error("export.swapped", export=str(export.pk))
            raise Lost
        file.seek(0)
        with transaction.atomic():
            ready = Export.objects.filter(pk=export.pk, state=Export.State.READY, expires_at__gt=at)
            if not ready.update(state=Export.State.TAKEN, taken_at=at):
                raise NotReady
            record(Action.EXPORT_DOWNLOAD, by=by, on=export, at=at, sha256=export.sha256)
        closing.pop_all()
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:  # it counts as fetched; the sweep tries again
        logger.error("export.not_removed", export=str(export.pk), reason=exc.strerror)  # noqa: TRY400
    return file


def see(*, by: HasActor | Actor, at: datetime, newest: UUID) -> int:
    """
    Note that the security administrator knows of the exports so far; return of how many.

    :param newest: the last one they were shown; what was asked for since they have not seen
    """
    with transaction.atomic():
        count = unseen().filter(pk__lte=newest).update(seen_at=at)
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
        with suppress(OSError):  # an orphan from now on
            path_of(export).unlink()
    _remove_orphans(at)


def _remove_orphans(at: datetime) -> None:
    """Remove what a worker that was killed, or a download, left behind."""
    kept = Export.objects.filter(state__in=[Export.State.RUNNING, Export.State.READY])
    names = {path_of(export).name for export in kept}
    for path in settings.EXPORTS_DIR.glob("*"):
        with suppress(OSError):  # the next sweep tries again
            found = path.lstat()
            if found.st_mtime >= (at - ORPHANED).timestamp() or path.name in names:
                continue
            if stat.S_ISREG(found.st_mode) and _OURS.fullmatch(path.name):
                path.unlink()
            elif stat.S_ISDIR(found.st_mode) and _OUR_SCRATCH.fullmatch(path.name):
                shutil.rmtree(path)


def _says_something(reason: str) -> bool:
    """Return whether anything of it can be seen."""
    return any(
        unicodedata.category(one)[0] in "LNPS" and one not in _UNSEEN_LETTERS for one in reason
    )
