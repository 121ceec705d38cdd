"""Verifying the trail without being asked: what is wrong becomes a finding."""

from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import transaction

from hospital.audit import trail, verifying
from hospital.audit.checkpoint import BadNote, Note, Verifier
from hospital.audit.detection import Occasion, detect
from hospital.audit.findings import Finding
from hospital.audit.verdict import Verdict

FOUND: Final = "verification"
UNSETTLED: Final = "unverifiable"
TITLES: Final = {FOUND: "核验发现留痕有异常", UNSETTLED: "不能核验留痕"}


def verify(*, at: datetime, is_full: bool) -> Verdict | None:
    """
    Verify what is new since the last good run, or everything; return the verdict.

    On record either way. None: it could not be done, or not be kept how far it came, which is a
    finding too.
    """
    try:
        verifiers = trail.verifiers()
        anchors = _anchors(verifiers)
    except trail.NotConfigured:
        _give_up("verifiers", at)
        return None
    except BadNote:
        _give_up("anchor", at)
        return None
    try:
        verdict = verifying.verify(at=at, verifiers=verifiers, anchors=anchors, is_full=is_full)
    except OSError:
        _give_up("state", at)
        return None
    with transaction.atomic():
        if not verdict.is_intact:
            facts = {"kinds": sorted(verdict.kinds), "rows": _rows(verdict), "size": verdict.signed}
            _detect(FOUND, Finding.Severity.ALERT, at, count=verdict.count, facts=facts)
        if verdict.unsettled:
            _give_up("verifiers", at)
    return verdict


def _rows(verdict: Verdict) -> list[int]:
    """Return the ids of the first events that are not as they should be."""
    return list(verdict.altered[:50])


def _give_up(code: str, at: datetime) -> None:
    _detect(UNSETTLED, Finding.Severity.WARNING, at, facts={"code": code})


def _detect(
    kind: str, severity: Finding.Severity, at: datetime, *, count: int = 1, facts: dict[str, object]
) -> None:
    detect(Occasion(kind, severity, first=at.isoformat(), count=count, facts=facts), at=at)


def _anchors(verifiers: list[Verifier]) -> list[Note]:
    """
    Return the notes of the anchor file, if this process may read one.

    :raises BadNote: one is not signed by a log we know
    """
    if not settings.ANCHOR_FILE:
        return []
    try:
        return verifying.anchors_in(Path(settings.ANCHOR_FILE), verifiers).notes
    except OSError:  # the notary's alone, or elsewhere
        return []
