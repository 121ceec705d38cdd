"""Something unusual becomes a finding: a row for the auditor, an event, and a line of log."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.findings import Finding
from hospital.audit.recording import SYSTEM, record

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Occasion:
    """
    What is unusual this once. Ids, numbers and slugs only.

    :param about: of whom or what, as far as occasions of this kind are told apart by it
    :param first: what began it; the next occasion begins with something else
    """

    kind: str
    severity: Finding.Severity
    first: str
    about: str = ""
    count: int = 1
    subjects: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{beginning(self.kind, self.about)}{self.first}"


def beginning(kind: str, about: str) -> str:
    """Return how the keys of all such occasions begin."""
    return f"{kind}:{about}:"


def detect(occasion: Occasion, *, at: datetime) -> Finding | None:
    """Return the finding this occasion becomes; None if it is one already."""
    with transaction.atomic():
        finding, is_new = Finding.objects.get_or_create(
            key=occasion.key,
            defaults={
                "kind": occasion.kind,
                "severity": occasion.severity,
                "at": at,
                "facts": {**occasion.facts, "count": occasion.count},
            },
        )
        if not is_new:
            return None
        record(
            Action.FINDING_RAISE,
            by=SYSTEM,
            on=finding,
            at=at,
            kind=occasion.kind,
            count=occasion.count,
            subjects=occasion.subjects,
        )
    logger.warning(
        "finding.raised",
        finding=str(finding.pk),
        kind=finding.kind,
        severity=finding.severity,
        count=occasion.count,
    )
    return finding
