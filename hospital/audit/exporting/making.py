"""
Making a copy, by whichever worker is there.

Who makes it holds a lease, and writes under the number of the attempt. Whoever takes over from a
worker that fell silent has another number, and the silent one finds that its own no longer counts.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import Error, connection, transaction
from django.db.models import Q, QuerySet

from hospital import retention
from hospital.audit import trail
from hospital.audit.actions import Action
from hospital.audit.checkpoint import BadNote, Note, Verifier
from hospital.audit.exporting import bundle, checking, places, requests, sending, storing
from hospital.audit.exporting.bundle import View, Written
from hospital.audit.exporting.selecting import NotSealed, Range
from hospital.audit.exports import Export
from hospital.audit.recording import SYSTEM, record
from hospital.errors import Refusal

LEASE: Final = timedelta(minutes=5)
BEAT: Final = 60.0  # seconds from one renewal of the lease to the next, whatever is being done
ATTEMPTS: Final = 3
VIEWS: Final[tuple[View, ...]] = ("csv", "xlsx")
_SAVED: Final = 1.0  # seconds from one word on progress to the next

PROBLEMS: Final = {
    "abandoned": "多次中断",
    "unverified": "生成的文件核验不符，留痕可能被改动：先核验留痕（verifyaudit）",
    "unfinished": "核验没有在限定时间内完成：请缩小范围，或告知系统管理员",
    "no_key": "没有配置留痕的公钥（TRAIL_ORIGIN、TRAIL_VERIFIERS），无法核验：请告知系统管理员",
    "storage": "工作进程无法写入导出目录（EXPORTS_DIR），可能空间不足",
    **{
        one.code: one.message
        for one in (bundle.NothingFound, NotSealed, places.Exposed, places.NoRoom, sending.Lost)
    },
    bundle.Missing.code: "区间内有留痕不在数据库里：先核验留痕（verifyaudit）",
    bundle.Removed.code: "区间内有留痕已归档清理：改用归档文件",
}

logger = structlog.get_logger(__name__)


class NoKey(Exception):
    """It is not known by which key the log is signed, so nothing can be verified."""


class LeaseLost(Exception):
    """Another worker took the work over, because this one was silent for too long."""


def due(at: datetime) -> QuerySet[Export]:
    """Return what nobody is at."""
    left = Q(state=Export.State.RUNNING, lease_until__lt=at)
    return Export.objects.filter(left | Q(state=Export.State.QUEUED)).order_by("pk")


def make(export_id: UUID, *, clock: Callable[[], datetime]) -> bool:
    """
    Make the copy, unless another worker is at it or it is made; return whether it is ours.

    What is wrong with the request or the trail ends it. What is wrong with this worker or the
    database leaves it to another attempt.

    :raises LeaseLost: another worker has taken over
    """
    attempt = _Attempt.of(export_id, clock)
    if attempt is None:
        return False
    try:
        with attempt.beating():
            written = attempt.work()
        attempt.complete(written)
    except Refusal as exc:
        attempt.fail(exc.code)
    except (NoKey, trail.NotConfigured):
        attempt.fail("no_key")
    except checking.Unfinished:
        attempt.fail("unfinished")
    except (checking.Unverified, BadNote) as exc:
        logger.error("export.unverified", export=str(export_id), said=str(exc))  # noqa: TRY400
        attempt.fail("unverified")
    except OSError as exc:
        logger.error("export.unwritten", export=str(export_id), reason=exc.strerror)  # noqa: TRY400
        attempt.fail("storage")
    else:
        return True
    finally:
        attempt.clean()
    return False


class _Attempt:
    """One worker's turn at an export."""

    def __init__(self, export: Export, clock: Callable[[], datetime]) -> None:
        self._export, self._clock, self._saved = export, clock, time.monotonic()

    @classmethod
    def of(cls, export_id: UUID, clock: Callable[[], datetime]) -> "_Attempt | None":
        """Return ours; None if it is not to be had."""
        now = clock()
        export = due(now).filter(pk=export_id).first()
        if export is None:
            return None
        if export.attempts >= ATTEMPTS:
            cls(export, clock).fail("abandoned")
            return None
        as_seen = due(now).filter(pk=export.pk, attempts=export.attempts)
        turn = export.attempts + 1
        running = {"state": Export.State.RUNNING, "attempts": turn, "lease_until": now + LEASE}
        if not as_seen.update(**running, done=0, total=0):
            return None
        export.refresh_from_db()
        return cls(export, clock)

    def work(self) -> Written:
        export = self._export
        path, selection = places.path_of(export), requests.selection_of(export)
        places.refuse_exposed(path.parent)
        if isinstance(selection, Range):
            places.refuse_full(path.parent, rows=selection.end - selection.start)
        keys = _known()
        written = bundle.write(
            path,
            selection=selection,
            manifest_facts={
                "export": str(export.pk),
                "requested_by": str(export.requested_by),
                "requested_at": export.requested_at.isoformat(),
                "purpose": export.purpose,
                "generated_at": self._clock().isoformat(),
            },
            progress=self._progress,
            views=VIEWS,
        )
        self._save()
        checking.verify(path, keys=[str(one) for one in _signing(keys, written.note)])
        self._store(path, written)
        return written

    def _store(self, path: Path, written: Written) -> None:
        try:
            stored = storing.put(path, export=self._export, renew=self._save)
        except Error:
            # There may be no room left in the database, and not only for this.
            with suppress(Error):  # then the sweep does, when the lease has run out
                storing.remove(self._export)
            raise
        if stored != written.sha256:
            raise checking.Unverified("存入数据库的与核验过的不是同一文件")

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Renew the lease meanwhile: closing a workbook and verifying say nothing for long."""
        stop = threading.Event()
        thread = threading.Thread(target=self._beat, args=[stop], daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT):
            try:
                self._update(lease_until=self._clock() + LEASE)
            except LeaseLost:  # the work itself finds out at its next word
                return
            except Error as exc:
                logger.warning("export.not_renewed", export=str(self._export.pk), exc_info=exc)
            finally:
                connection.close()  # this thread's own

    def complete(self, written: Written) -> None:
        now, export = self._clock(), self._export
        with transaction.atomic():
            self._update(
                state=Export.State.READY,
                rows=written.rows,
                size=written.size,
                sha256=written.sha256,
                sm3=written.sm3,
                ready_at=now,
                expires_at=now + timedelta(hours=retention.value("trail_copy")),
                lease_until=None,
                **requests.UNSEEN,
            )
            record(
                Action.EXPORT_COMPLETE,
                by=SYSTEM,
                on=export,
                at=now,
                count=written.rows,
                size=written.size,
                sha256=written.sha256,
                sm3=written.sm3,
            )

    def fail(self, code: str) -> None:
        with transaction.atomic():
            self._update(
                state=Export.State.FAILED, problem=code, lease_until=None, **requests.UNSEEN
            )
            record(
                Action.EXPORT_FAIL,
                by=SYSTEM,
                on=self._export,
                at=self._clock(),
                outcome="failed",
                code=code,
            )

    def clean(self) -> None:
        """Remove the file of this attempt; no other has the same."""
        with suppress(OSError):  # then the sweep does
            places.path_of(self._export).unlink()

    def _progress(self, done: int, total: int) -> None:
        if not done or time.monotonic() - self._saved >= _SAVED:
            self._save(done=done, total=total)

    def _save(self, **fields: Any) -> None:
        self._update(lease_until=self._clock() + LEASE, **fields)
        self._saved = time.monotonic()

    def _update(self, **fields: Any) -> None:
        """:raises LeaseLost:"""
        mine = Export.objects.filter(
            pk=self._export.pk, state=Export.State.RUNNING, attempts=self._export.attempts
        )
        if not mine.update(**fields):
            raise LeaseLost


def _known() -> list[Verifier]:
    """
    Return the keys the settings name for the log: a checkpoint's own word is nobody's.

    :raises NoKey: there is none
    """
    origin = trail.origin()
    known = [one for one in trail.verifiers() if one.name == origin and not one.is_witness]
    if not known:
        raise NoKey
    return known


def _signing(known: list[Verifier], text: str) -> list[Verifier]:
    """Return the known keys that signed; if none did, one for the verifier to miss."""
    note = Note.parse(text)
    return [one for one in known if note.is_signed_by(one)] or known[:1]
