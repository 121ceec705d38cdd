"""
Whether this database is the one the ledger was written beside, or one from a backup.

What the ledger says and the database does not know was forgotten after the backup was made, and is
here again. Nobody is served until it is forgotten again (`hospital.privacy.erasing.replaying`).
"""

import time
from collections.abc import Sequence
from threading import Lock
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import Error

from hospital.audit import recording
from hospital.crypto import keyring
from hospital.errors import Unavailable
from hospital.privacy.erasing import ledger
from hospital.privacy.erasing.ledger import BEGIN, Line, Mark, Store
from hospital.privacy.erasing.ledger_file import File
from hospital.privacy.erasing.ledger_table import Table
from hospital.privacy.erasing.routing import DATABASE
from hospital.privacy.models import Erasure, LedgerMark

State = Erasure.State

REMEMBERED: Final = 15.0  # seconds a process goes on answering by what it found
_KEY: Final = b"hospital.privacy/erasure-ledger/v1\0"
# Those whose keys may have come back from a backup of the key tables alone: whatever was destroyed
# after it, the last ones included.
_LAST: Final = 500
_DESTROYED: Final = (State.KEYS, State.ROWS, State.TRACES, State.DONE)

_turn: Final = Lock()
_asked_at = float("-inf")
_answer: "Unreplayed | None" = None


class Unreplayed(Unavailable):
    code = "erasures_unreplayed"
    message = "数据库由备份恢复，须先运行 replayerasures 重做其间的个人信息删除，暂停服务"

    def __init__(self, *, retry_after: float = 60) -> None:
        super().__init__(retry_after=retry_after)


class LedgerLost(Unreplayed):
    code = "erasures_ledger_lost"
    message = "删除台账缺失或不完整，不能确认已删除的个人信息没有恢复，暂停服务"


class LedgerForged(Unreplayed):
    code = "erasures_ledger_forged"
    message = "删除台账被改动过，不能确认已删除的个人信息没有恢复，暂停服务"


class LedgerUnreadable(Unreplayed):
    code = "erasures_ledger_unreadable"
    message = "删除台账无法读取，不能确认已删除的个人信息没有恢复，暂停服务"


def store() -> Store:
    """Return where the ledger lies: on a database of its own if there is one, else in a file."""
    return Table() if DATABASE in settings.DATABASES else File(settings.ERASURE_LEDGER)


def key() -> bytes:
    """Return the key of the ledger's digests, derived from the trail's."""
    return recording.mac(_KEY)


def mark() -> Mark:
    """Return how much of the ledger this database knows."""
    row = LedgerMark.objects.first()
    return Mark(row.place, row.digest, row.end) if row else BEGIN


def move(to: Mark) -> None:
    """Say, in the caller's transaction, that the lines up to here are known."""
    known = {"place": to.place, "digest": to.digest, "end": to.end}
    LedgerMark.objects.update_or_create(pk=1, defaults=known)


def lines(*, after: Mark = BEGIN) -> list[Line]:
    """
    Return the ledger's lines behind a mark.

    :raises LedgerLost, LedgerForged, LedgerUnreadable:
    """
    try:
        return ledger.read(store(), key=key(), after=after)
    except ledger.Lost:
        raise LedgerLost from None
    except ledger.Broken:
        raise LedgerForged from None
    except OSError:
        raise LedgerUnreadable from None


def examined() -> list[Line]:
    """
    Return all lines, each of them examined, and the mark found among them.

    :raises LedgerLost, LedgerForged, LedgerUnreadable:
    """
    known = mark()  # before the lines: of those that are added meanwhile it knows nothing
    found = lines()
    demand_known(found, known)
    return found


def demand_known(found: Sequence[Line], known: Mark) -> None:
    """
    Demand that the mark is the end of one of these lines, from the first on.

    :raises LedgerLost, LedgerForged:
    """
    if known.place > len(found):
        raise LedgerLost
    if known.place and found[known.place - 1].mark != known:
        raise LedgerForged


def written_here(found: Sequence[Line]) -> bool:
    """
    Whether these lines are this database's own, cut off between the file and the commit.

    Such an erasure has begun here and does not know its place yet: the next run tells it.
    """
    mine = Erasure.objects.filter(state=State.BEGUN, ledger_place=None)
    asked = {line.entry.erasure for line in found}
    return not asked or mine.filter(pk__in=asked).count() == len(asked)


def demand_replayed(*, thorough: bool = False) -> None:
    """
    Demand that nobody who was forgotten is here again.

    :param thorough: look at every line and every key, and not at the last ones only
    :raises Unreplayed: in its several forms
    """
    known = mark()
    beyond = examined()[known.place :] if thorough else lines(after=known)
    while not written_here(beyond):
        before, known = known, mark()
        if known == before:
            raise Unreplayed
        beyond = lines(after=known)  # somebody erased meanwhile
    if keyring.alive(_destroyed(thorough=thorough)):
        raise Unreplayed


def refusal() -> "Unreplayed | None":
    """Return why nobody is to be served, as of a moment ago; None if everybody is."""
    global _asked_at, _answer  # noqa: PLW0603 (one memory per process)
    if _is_over():
        with _turn:  # of many threads one asks
            if _is_over():
                now = time.monotonic()
                _answer = _asked()
                _asked_at = now
    return _answer


def forget() -> None:
    """Look anew: something was just replayed."""
    global _asked_at  # noqa: PLW0603 (one memory per process)
    _asked_at = float("-inf")


def _is_over() -> bool:
    return time.monotonic() - _asked_at > REMEMBERED


def _asked() -> "Unreplayed | None":
    try:
        demand_replayed()
    except Unreplayed as exc:
        return exc
    except Error:  # whoever is served next will say so
        return None
    return None


def _destroyed(*, thorough: bool) -> list[UUID]:
    rows = Erasure.objects.filter(state__in=_DESTROYED).order_by("-began_at", "-pk")
    found = rows.values_list("keys", flat=True)
    return [UUID(one) for keys in (found if thorough else found[:_LAST]) for one in keys]
