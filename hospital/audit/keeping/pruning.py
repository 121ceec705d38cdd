"""
Old events go, when two people decided it and a verified copy of them is archived. Leaves stay.

So every proof over the log holds, also over what was removed, and whoever has the archive can
still show each line to be genuine.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Max

from hospital.audit.actions import Action
from hospital.audit.keeping import archiving, keeper, periods, permitted
from hospital.audit.kept import Archive, Pruned
from hospital.audit.log import Leaf
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind
from hospital.audit.recording import SYSTEM, record
from hospital.errors import Refusal
from hospital.roles import May

MOST: Final = 100  # archives in one request: the event that tells of it names each


class Held(Refusal):
    code = "trail_held"
    message = "留痕处于法律保全状态（TRAIL_HOLD），不能清理"


class NotNext(Refusal):
    code = "prune_not_next"
    message = "只能从上次清理结束的序号开始清理"


class NotArchived(Refusal):
    code = "prune_not_archived"
    message = "该区间没有完整归档，或不在归档文件的边界上"


class TooYoung(Refusal):
    code = "prune_too_young"
    message = "该区间里有未满保存期限的留痕"


class TooMany(Refusal):
    code = "prune_too_many"
    message = f"一次最多清理 {MOST} 个归档文件的留痕"


class DatabaseRefused(Refusal):
    """The triggers ask for more than this process knows: the database's own clock, for one."""

    code = "database_refused"
    message = "数据库拒绝了这次清理或遮盖"


class Stretch(NamedTuple):
    """The leaves from `start` to before `end`, and the archives that hold their events."""

    start: int
    end: int
    archives: list[Archive]


def next_start() -> int:
    """Return the index of the first event that was not pruned."""
    return int(Pruned.objects.aggregate(last=Max("end"))["last"] or 0)


def prunable(*, at: datetime) -> Stretch | None:
    """Return what may be asked for now; None if there is nothing."""
    start, old = next_start(), periods.sealed_by(periods.due(at))
    archives = _side_by_side(start, old)[:MOST]
    return Stretch(start, archives[-1].end, archives) if archives else None


def check(facts: Mapping[str, Any], at: datetime) -> None:
    """:raises Held, NotNext, NotArchived, TooYoung, TooMany:"""
    if settings.TRAIL_HOLD:
        raise Held
    if facts["start"] != next_start():
        raise NotNext
    if facts["end"] > periods.sealed_by(periods.due(at)):
        raise TooYoung
    if len(archives_of(facts["start"], facts["end"])) > MOST:
        raise TooMany


def prepare(facts: Mapping[str, Any]) -> None:
    """
    Read every archive of the range once more, digest and proof.

    :raises NotArchived, Damaged: or a file is not what was archived
    """
    for archive in archives_of(facts["start"], facts["end"]):
        archiving.verify(archive)


def carry_out(proposal: Proposal, at: datetime) -> None:
    """:raises Refusal: what `check` refuses, or the database"""
    check(proposal.facts, at)
    start, end = proposal.facts["start"], proposal.facts["end"]
    archives = archives_of(start, end)
    pruned = Pruned.objects.create(
        start=start, end=end, archive=archives[-1].pk, proposal=proposal.pk, at=at
    )
    try:
        with transaction.atomic():
            _remove(pruned)
    except IntegrityError:
        raise DatabaseRefused from None
    record(
        Action.AUDIT_PRUNE,
        by=SYSTEM,
        on=pruned,
        at=at,
        start=start,
        end=end,
        count=_left(start, end),
        sha256=[archive.sha256 for archive in archives],
        proposal=proposal.pk,
        asked_by=proposal.asked_by,
        approved_by=str(proposal.decided_by),
    )


def archives_of(start: int, end: int) -> list[Archive]:
    """
    Return the archives that hold exactly these leaves, the newest of each stretch.

    :raises NotArchived:
    """
    archives = _side_by_side(start, end)
    if not archives or archives[-1].end != end:
        raise NotArchived
    return archives


def _side_by_side(start: int, end: int) -> list[Archive]:
    """Return those that begin at `start` and follow one another, as far as before `end`."""
    found: list[Archive] = []
    for archive in Archive.objects.filter(start__gte=start, end__lte=end).order_by("start", "-id"):
        if archive.start == start:
            found.append(archive)
            start = archive.end
    return found


def _remove(pruned: Pruned) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT audit_prune(%s)", [pruned.proposal])
        else:
            cursor.execute(_REMOVE, [pruned.start, pruned.end])


def _left(start: int, end: int) -> int:
    """Return how many events of the range there are: those that tell of removals."""
    leaves = Leaf.objects.filter(index__gte=start, index__lt=end)
    return Event.objects.filter(pk__in=leaves.values("event_id")).count()


_REMOVE: Final = (
    "DELETE FROM audit_event WHERE id IN"  # noqa: S608 (names of ours)
    ' (SELECT event_id FROM audit_leaf WHERE "index" >= %s AND "index" < %s)'
    f" AND {permitted.not_lasting('audit_event')}"
)

KIND: Final = Kind(
    tag="audit.prune",
    label="清理已归档的留痕",
    asks=May.KEEP_TRAIL,
    decides=May.APPROVE_KEEPING,
    facts=frozenset({"start", "end"}),
    check=check,
    prepare=prepare,
    carry_out=carry_out,
    is_ours=keeper.may_remove,
)
