"""Verifying as a whole: from where the last good run came to, with anchors, on record."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction

from hospital.audit import anchoring, verification, verified
from hospital.audit.actions import Action
from hospital.audit.checkpoint import BadNote, Note, Verifier
from hospital.audit.merkle import Frontier
from hospital.audit.recording import SYSTEM, record
from hospital.audit.verdict import Verdict
from hospital.audit.verification import Told

GONE: Final = (
    "TRUNCATED 上次核验到第 {} 条，数据库不再包含它：被截断或改写；"
    "如因恢复备份而启用了新日志，请删除 VERIFIED_STATE 文件后重新核验"
)


def verify(
    *,
    at: datetime,
    verifiers: Sequence[Verifier],
    anchors: Sequence[Note],
    is_full: bool,
    told: Told = lambda _done, _all: None,
) -> Verdict:
    """
    Verify what is new since the last good run, or everything; the result is on record.

    :param anchors: notes from outside this database, already known to be signed
    :raises OSError: how far the last run came cannot be read or kept
    """
    kept = _kept()
    is_continued = kept is None or verification.continued(kept)
    begin = kept if is_continued and not is_full else None
    verdict = verification.verify(
        at=at, verifiers=verifiers, anchors=anchors, begin=begin, told=told
    )
    if kept and not is_continued:
        verdict.find("truncated", GONE.format(kept.size))
    # First, so that a file that cannot be written leaves no run unsaid.
    _record(verdict, is_full=begin is None, at=at)
    if verdict.is_intact and not verdict.unsettled and verdict.reached.size:
        verified.write(settings.VERIFIED_STATE, verdict.reached)
    return verdict


def anchors_in(path: Path, verifiers: Sequence[Verifier]) -> anchoring.Anchors:
    """
    Return the notes in a file, each signed by a log we know; and how many were torn.

    :raises BadNote: one is not
    :raises OSError:
    """
    found = anchoring.read(path.read_text(errors="replace"))
    for note in found.notes:
        origin = note.checkpoint.origin
        if not any(one.name == origin and note.is_signed_by(one) for one in verifiers):
            raise BadNote("外部锚点没有用已知的公钥签名（TRAIL_VERIFIERS 或 --verifiers）")
    return found


def _kept() -> Frontier | None:
    """Return how far an earlier run came; None if there was none, or its file is damaged."""
    try:
        return verified.read(settings.VERIFIED_STATE)
    except verified.Unreadable:
        return None


def _record(verdict: Verdict, *, is_full: bool, at: datetime) -> None:
    with transaction.atomic():
        record(
            Action.AUDIT_VERIFY,
            by=SYSTEM,
            on=None,
            at=at,
            outcome="success" if verdict.is_intact else "failed",
            is_full=is_full,
            is_anchored=bool(verdict.anchored),
            size=verdict.signed,
            count=verdict.events,
            findings=verdict.count,
        )
